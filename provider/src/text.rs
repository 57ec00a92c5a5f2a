//! Text from outside, made fit to keep: the one place where NUL characters are taken out.
//!
//! PostgreSQL stores neither NUL in text nor `\u0000` in JSON. Decoding strips it, so that both
//! databases keep the same text; the raw body in the inbox is untouched.

use serde_json::{Map, Value};

/// `text` without NUL characters.
pub(crate) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text }
}

/// `value` without NUL characters in any text or key within it.
pub(crate) fn value_without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(value_without_nul).collect()),
        Value::Object(entries) => Value::Object(
            entries.into_iter().map(|(key, value)| (without_nul(key), value_without_nul(value))).collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

/// The first `limit` characters of `text` on one line, for messages.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let clean = text.chars().filter(|c| *c != '\0').map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(limit).collect();
    if text.chars().nth(limit).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nul_is_taken_out_of_keys_and_values_at_any_depth() {
        let dirty = json!({"a\0b": ["x\0", {"c": "\0"}], "n": 1});
        assert_eq!(value_without_nul(dirty), json!({"ab": ["x", {"c": ""}], "n": 1}));
    }

    #[test]
    fn shortened_text_stays_on_one_line() {
        assert_eq!(shorten("a\nb\0c", 10), "a bc");
        assert_eq!(shorten("abcdef", 3), "abc…");
    }
}
