//! JSON from outside: read whole, mended where one odd value would cost all the others.
//!
//! A page holds up to a thousand records. Bytes that are not UTF-8, half a surrogate pair, a raw
//! control character or a number beyond a double in one of them must not lose the rest, so a body
//! that does not parse is mended once and read again.

use crate::text::{value_without_nul, without_nul};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Longest external id that is believed, bytes.
const ID_BYTES: usize = 512;

/// Reads a JSON document, without NUL characters.
///
/// # Errors
/// Where in the text it stops being JSON; never a piece of the text.
pub(crate) fn read(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(first) => serde_json::from_str(&mend(body))
            .map_err(|_| format!("the body is not JSON (line {}, column {})", first.line(), first.column()))?,
    };
    // Text that is not UTF-8 was mended, and is looked through in any case.
    let has_nul = std::str::from_utf8(body).map_or(true, |text| text.contains("\\u0000"));
    Ok(if has_nul { value_without_nul(value) } else { value })
}

/// Reads a JSON object.
///
/// # Errors
/// As [`read`], and where the document is something else.
pub(crate) fn read_object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match read(body)? {
        Value::Object(object) => Ok(object),
        _ => Err("the body is JSON, but no object".to_owned()),
    }
}

/// Whether `body` is one whole JSON object or array.
pub(crate) fn is_document(body: &[u8]) -> bool {
    let opens = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match opens {
        // The usual case, without building the document only to throw it away.
        Some(b'{' | b'[') if serde_json::from_slice::<IgnoredAny>(body).is_ok() => true,
        _ => matches!(read(body), Ok(Value::Object(_) | Value::Array(_))),
    }
}

/// An external id: non-empty text, or a whole number.
pub(crate) fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.trim().is_empty() && text.len() <= ID_BYTES => Some(text.trim().to_owned()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Text that says something.
pub(crate) fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A whole number that is not negative, written as a number or as text.
pub(crate) fn count(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A scalar as text, the way upstream would write it in a form.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(without_nul(text.clone())),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Rewrites what serde_json refuses and a reader could still understand.
fn mend(body: &[u8]) -> String {
    let source = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(source.len() + 16);
    let mut rest = source.as_ref();
    let mut in_string = false;
    while let Some(next) = rest.chars().next() {
        let mut taken = next.len_utf8();
        match next {
            '"' => {
                in_string = !in_string;
                mended.push('"');
            }
            '\\' if in_string => taken = mend_escape(rest, &mut mended),
            '\0' if in_string => {}
            control if in_string && control < ' ' => mended.push_str(&format!("\\u{:04x}", control as u32)),
            '-' | '0'..='9' if !in_string => taken = mend_number(rest, &mut mended),
            other => mended.push(other),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    mended
}

/// Copies one escape, or a replacement character for half a surrogate pair; returns its length.
fn mend_escape(rest: &str, mended: &mut String) -> usize {
    match unit(rest) {
        Some(high @ 0xd800..=0xdbff) => match rest.get(6..).and_then(unit) {
            Some(low @ 0xdc00..=0xdfff) => {
                mended.push_str(&format!("\\u{high:04x}\\u{low:04x}"));
                12
            }
            _ => {
                mended.push('\u{fffd}');
                6
            }
        },
        Some(0xdc00..=0xdfff) => {
            mended.push('\u{fffd}');
            6
        }
        _ => {
            let escape: String = rest.chars().take(2).collect();
            mended.push_str(&escape);
            escape.len()
        }
    }
}

/// The UTF-16 unit of a `\uXXXX` at the start of `text`.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

/// Copies one number, as text where a double cannot hold it; returns its length.
fn mend_number(rest: &str, mended: &mut String) -> usize {
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len());
    let number = rest.get(..end).unwrap_or_default();
    let is_too_big = number.parse::<f64>().is_ok_and(f64::is_infinite);
    if is_too_big {
        mended.push('"');
        mended.push_str(number);
        mended.push('"');
    } else {
        mended.push_str(number);
    }
    end.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_odd_value_does_not_cost_the_others() {
        let body =
            b"[{\"a\":\"\\ud800x\"},{\"b\":1e999},{\"c\":\"\xff\"},{\"d\":\"tab\there\"},{\"e\":\"\\ud83d\\ude00\"}]";
        assert_eq!(
            read(body).unwrap(),
            json!([{"a": "\u{fffd}x"}, {"b": "1e999"}, {"c": "\u{fffd}"}, {"d": "tab\there"}, {"e": "😀"}])
        );
    }

    #[test]
    fn nul_is_stripped() {
        assert_eq!(read(b"{\"a\\u0000\":\"b\\u0000c\"}").unwrap(), json!({"a": "bc"}));
    }

    #[test]
    fn cut_documents_and_bottomless_ones_are_refused() {
        assert!(read(b"{\"a\":[1,2").is_err());
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
        assert!(!is_document(b"<html>"));
        assert!(!is_document(b"12"));
        assert!(is_document(b"{}"));
    }

    #[test]
    fn ids_are_text_or_whole_numbers() {
        assert_eq!(id(Some(&json!(12))), Some("12".to_owned()));
        assert_eq!(id(Some(&json!("x"))), Some("x".to_owned()));
        assert_eq!(id(Some(&json!(" "))), None);
        assert_eq!(id(Some(&json!(1.5))), None);
        assert_eq!(id(Some(&json!(true))), None);
        assert_eq!(id(None), None);
    }
}
