//! Scalars of the schema.

use crate::publish;
use ::entity::Moment;
use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime as ChronoDateTime, SecondsFormat, Utc};

/// A moment in time: RFC 3339, UTC, milliseconds; `2026-01-02T03:04:05.678Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Moment);

/// A moment in time: RFC 3339, UTC, milliseconds; `2026-01-02T03:04:05.678Z`.
#[Scalar(name = "DateTime", specified_by_url = "https://scalars.graphql.org/andimarek/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => match ChronoDateTime::parse_from_rfc3339(text) {
                Ok(at) => Ok(Self(Moment::from(at.with_timezone(&Utc)))),
                Err(_) => Err(InputValueError::custom("expected a moment such as 2026-01-02T03:04:05Z")),
            },
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_datetime().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// An opaque place in the change log. Keep it, and hand it back as `after` to go on from there, after a restart too.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor(pub String);

/// An opaque place in the change log. Keep it, and hand it back as `after` to go on from there, after a restart too.
#[Scalar(name = "Cursor")]
impl ScalarType for Cursor {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl From<&publish::Cursor> for Cursor {
    fn from(cursor: &publish::Cursor) -> Self {
        Self(cursor.encode())
    }
}

/// Any JSON value.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub serde_json::Value);

/// Any JSON value.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value.into_json()?))
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}
