//! How the value of a field is read in memory, by the rules that `db::fields` writes as SQL.

use crate::db::fields::MAX_NUMBER_LENGTH;
use entity::Moment;
use serde_json::Value;

/// The text of a value: of a scored object its value; of lists and objects their JSON.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(object) => match object.get("value") {
            Some(Value::Null) | None => Some(value.to_string()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(inner) => Some(inner.to_string()),
        },
        other => Some(other.to_string()),
    }
}

/// The text of a value with ASCII letters in lower case.
pub(super) fn folded(value: &Value) -> Option<String> {
    text(value).map(|text| text.to_ascii_lowercase())
}

/// The number of a value: a JSON number, or a text of digits with a sign and a point at most.
pub(super) fn number(value: &Value) -> Option<f64> {
    match unscored(value) {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if is_number(text) => text.parse().ok(),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.len() <= MAX_NUMBER_LENGTH
        && match digits.split_once('.') {
            Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
            None => is_digits(digits),
        }
}

/// The date of a value as `YYYY-MM-DD HH:MM:SS` in UTC: a day, or a day with a time of day in UTC or without a zone.
pub(super) fn date(value: &Value) -> Option<String> {
    let Value::String(text) = unscored(value) else { return None };
    if text.starts_with("0000") || !fits(text.get(..10)?, "dddd-dd-dd") {
        return None;
    }
    let day = &text[..10];
    if text.len() == 10 {
        return Some(format!("{day} 00:00:00"));
    }
    let time = text.get(10..19).filter(|time| fits(time, " dd:dd:dd") || fits(time, "Tdd:dd:dd"))?;
    let rest = text.get(19..)?;
    let rest = rest.strip_suffix('Z').or_else(|| rest.strip_suffix("+00:00")).unwrap_or(rest);
    let is_whole = rest.is_empty() || fits(rest, ".ddd") || fits(rest, ".dddddd");
    is_whole.then(|| format!("{day} {}", &time[1..]))
}

/// Whether a text has the form of a pattern in which `d` is a digit.
fn fits(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            exact => byte == exact,
        })
}

/// The first full second from a moment on, in the form of [`date`].
pub(super) fn date_bound(moment: Moment) -> String {
    const YEARS_0_TO_9999: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
    let seconds = moment.0.div_euclid(1000) + i64::from(moment.0.rem_euclid(1000) != 0);
    let seconds = seconds.clamp(*YEARS_0_TO_9999.start(), *YEARS_0_TO_9999.end());
    let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn unscored(value: &Value) -> &Value {
    match value {
        Value::Object(object) => object.get("value").unwrap_or(value),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_json_numbers_and_plain_decimal_texts() {
        for (value, expected) in [
            (json!("12.50"), Some(12.5)),
            (json!("-007"), Some(-7.0)),
            (json!({ "value": "3", "confidence": 0.5 }), Some(3.0)),
            (json!(1e21), Some(1e21)),
            (json!(true), None),
            (json!(""), None),
            (json!("1."), None),
            (json!(".5"), None),
            (json!("1e3"), None),
            (json!("1-2"), None),
            (json!("123456789012345678"), None),
            (json!([1]), None),
        ] {
            assert_eq!(number(&value), expected, "{value}");
        }
    }

    #[test]
    fn dates_are_days_and_times_without_an_offset() {
        for (value, expected) in [
            ("1980-02-29", Some("1980-02-29 00:00:00")),
            ("2026-01-31 10:00:01", Some("2026-01-31 10:00:01")),
            ("2026-01-31T10:00:01.250Z", Some("2026-01-31 10:00:01")),
            ("2026-01-31T10:00:01+00:00", Some("2026-01-31 10:00:01")),
            ("2026-01-31T10:00:01+02:00", None),
            ("0000-00-00", None),
            ("31-01-2026", None),
            ("2026-01-31 10:00", None),
            ("2026-01-3é 10:00:00", None),
        ] {
            assert_eq!(date(&json!(value)).as_deref(), expected, "{value}");
        }
        assert_eq!(date_bound(Moment(1_500)), "1970-01-01 00:00:02");
        assert_eq!(date_bound(Moment(1_000)), "1970-01-01 00:00:01");
        assert_eq!(date_bound(Moment(i64::MAX)), "9999-12-31 23:59:59");
    }
}
