//! Scalars of the schema.

use crate::publish;
use ::entity::Moment;
use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{
    ContextSelectionSet, InputValueError, InputValueResult, Name, OutputType, Positioned, Scalar, ScalarType,
    ServerResult, Value,
};
use chrono::{DateTime as ChronoDateTime, SecondsFormat, Utc};
use std::borrow::Cow;

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
        answered(&self.0)
    }
}

/// The scalar `JSON` over a value that lives elsewhere, so that it is copied once: into the answer.
pub struct JsonValue<'a>(pub Cow<'a, serde_json::Value>);

impl OutputType for JsonValue<'_> {
    fn type_name() -> Cow<'static, str> {
        <Json as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Json as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        Ok(answered(&self.0))
    }
}

/// The value as an answer tells it.
pub(super) fn answered(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(one) => Value::Boolean(*one),
        serde_json::Value::Number(number) => Value::Number(number.clone()),
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(list) => Value::List(list.iter().map(answered).collect()),
        serde_json::Value::Object(object) => {
            Value::Object(object.iter().map(|(name, value)| (Name::new(name), answered(value))).collect())
        }
    }
}
