//! JSON from outside: read whole, mended where one odd value would cost all the others.
//!
//! A page holds up to a thousand records. Bytes that are not UTF-8, half a surrogate pair, a raw
//! control character or a number beyond a double in one of them must not lose the rest, so a body
//! that does not parse is mended once and read again.

use crate::text::{value_without_nul, without_nul};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
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

/// One field of a JSON object, as [`read_object`] finds it; the others are not built where that makes no difference.
pub(crate) fn read_field(body: &[u8], name: &str) -> Option<Value> {
    if is_plain(body) {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let found = OneField(name).deserialize(&mut reader).and_then(|found| reader.end().map(|()| found));
        if let Ok(found) = found {
            return found;
        }
    }
    read_object(body).ok()?.remove(name)
}

/// Whether nothing in `body` can need mending but what fails to parse: no NUL is written in it, and it is too small a
/// tree to be refused for its depth.
fn is_plain(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| !text.contains("\\u0000"))
        && body.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() < 100
}

/// Reads one field of an object and passes over the others.
struct OneField<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for OneField<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneField<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = entries.next_key_seed(IsName(self.0))? {
            if is_wanted {
                // The last one counts, as in a map.
                found = Some(entries.next_value()?);
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a name without keeping it.
struct IsName<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
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

    /// What [`read_field`] stands for.
    fn slow_field(body: &[u8], name: &str) -> Option<Value> {
        read_object(body).ok()?.remove(name)
    }

    #[test]
    fn a_field_is_the_one_that_the_whole_object_would_have() {
        let bodies: [&[u8]; 14] = [
            b"{\"id\":\"a\",\"data\":{\"id\":\"inner\"}}",
            b"{\"id\":1,\"id\":[2,{\"id\":3}]}",
            b"{\"i\\u0064\":\"escaped\"}",
            b"{\"i\\u0000d\":\"nul\"}",
            b"{\"id\":\"\\u0000\"}",
            b"{\"id\":\"a\",\"n\":1e999}",
            b"{\"id\":1e999}",
            b"{\"id\":\"a\",\"text\":\"\\ud800\"}",
            b"{\"id\":\"\\ud800\"}",
            b"{\"id\":\"\xff\"}",
            b"\xef\xbb\xbf{\"id\":\"a\"}",
            b"{\"id\":\"a\"} trailing",
            b"[{\"id\":\"a\"}]",
            b"",
        ];
        for body in bodies {
            assert_eq!(read_field(body, "id"), slow_field(body, "id"), "{}", String::from_utf8_lossy(body));
        }
        let deep = format!("{{\"id\":\"a\",\"deep\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(read_field(deep.as_bytes(), "id"), slow_field(deep.as_bytes(), "id"));
    }

    proptest::proptest! {
        #[test]
        fn a_field_of_a_damaged_body_is_the_one_that_the_whole_object_would_have(
            damage in proptest::collection::vec((0_usize..70, proptest::prelude::any::<u8>()), 0..4),
            cut in 0_usize..90,
        ) {
            let mut body = b"{\"a\":[1,2.5e3,{\"id\":null}],\"id\":\"evt_1\",\"t\":\"\\ud83d\\ude00 \\u00e9\",\"id2\":{}}".to_vec();
            for (place, byte) in damage {
                body[place] = byte;
            }
            body.truncate(cut);
            proptest::prop_assert_eq!(read_field(&body, "id"), slow_field(&body, "id"));
        }
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
