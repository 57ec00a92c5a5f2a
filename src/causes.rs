//! Errors on their way into the log.

use std::error::Error;

/// An error and its causes in one line, each told once. A log in JSON holds only the first text of an error that is given as
/// such. Of what a database quotes from a value that it cannot read nothing is told.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in std::iter::successors(Some(error), |cause: &&(dyn Error + 'static)| (*cause).source()) {
        let text = without_values(&cause.to_string());
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// The text without what stands in quotes, where it tells of a value that could not be read; without line breaks.
fn without_values(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_of_a_value = ["invalid input", "invalid type", "invalid value", "syntax error in", "out of range"];
    match text.find('"') {
        Some(quote) if is_of_a_value.iter().any(|part| text.contains(part)) => format!("{}…", &text[..quote]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }

    fn told(texts: &[&'static str]) -> Told {
        let (first, rest) = texts.split_first().unwrap();
        Told { text: first, source: (!rest.is_empty()).then(|| Box::new(told(rest))) }
    }

    #[test]
    fn causes_are_told_in_one_line_and_each_once() {
        let error = told(&["read profiles", "execute: no such table:\n  profile", "no such table:\n  profile"]);
        assert_eq!(chain(&error), "read profiles: execute: no such table: profile");
    }

    #[test]
    fn a_value_that_cannot_be_read_is_not_quoted() {
        let error = told(&["read profiles", "invalid input syntax for type bigint: \"jane@example.com\""]);
        assert_eq!(chain(&error), "read profiles: invalid input syntax for type bigint: …");
        let error = told(&["relation \"profile\" does not exist"]);
        assert_eq!(chain(&error), "relation \"profile\" does not exist");
    }
}
