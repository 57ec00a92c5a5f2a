//! The shape of a document, looked at before the parser: it recurses without a limit of its own, and its time grows with
//! every token.

use crate::serve::graphql::{Code, Fault};

pub(super) const MAX_BYTES: usize = 64 * 1024;
pub(super) const MAX_BRACKETS: usize = 64;
const MAX_TOKENS: usize = 5_000;

/// Counts bytes, brackets and tokens. Cheap, and safe for any text.
pub(super) fn check_shape(document: &str) -> Result<(), Fault> {
    if document.len() > MAX_BYTES {
        let message =
            format!("the document has {} bytes; {MAX_BYTES} are allowed: ask for less at once", document.len());
        return Err(Fault::new(Code::QueryTooComplex, message));
    }
    let shape = Shape::of(document.as_bytes());
    if shape.levels > MAX_BRACKETS {
        let message = format!("brackets are nested {} deep; {MAX_BRACKETS} are allowed", shape.levels);
        return Err(Fault::new(Code::QueryTooDeep, message));
    }
    if shape.tokens > MAX_TOKENS {
        let message = format!(
            "the document has {} tokens; {MAX_TOKENS} are allowed: ask for less at once, and send values as variables",
            shape.tokens
        );
        return Err(Fault::new(Code::QueryTooComplex, message));
    }
    Ok(())
}

/// What stands outside of comments and inside of no string.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shape {
    /// Deepest nesting of brackets.
    levels: usize,
    /// Words, numbers, strings and punctuation, give or take: `-1.5e3` is several here.
    tokens: usize,
}

impl Shape {
    fn of(bytes: &[u8]) -> Self {
        let (mut shape, mut level, mut at, mut is_word) = (Self::default(), 0_usize, 0_usize, false);
        while let Some(&byte) = bytes.get(at) {
            let continues_word =
                std::mem::replace(&mut is_word, byte.is_ascii_alphanumeric() || byte == b'_') && is_word;
            if !continues_word && !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b'#') {
                shape.tokens += 1;
            }
            match byte {
                b'{' | b'[' | b'(' => {
                    level += 1;
                    shape.levels = shape.levels.max(level);
                }
                b'}' | b']' | b')' => level = level.saturating_sub(1),
                b'#' => at = end_of_comment(bytes, at),
                b'"' => at = end_of_string(bytes, at),
                _ => {}
            }
            at += 1;
        }
        shape
    }
}

/// Place of the comment's last byte.
fn end_of_comment(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at + 1).is_some_and(|next| !matches!(next, b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Place of the quote that ends the string, or of what ends it instead.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    if bytes[at..].starts_with(b"\"\"\"") {
        at += 3;
        while at < bytes.len() && !bytes[at..].starts_with(b"\"\"\"") {
            at += if bytes[at..].starts_with(b"\\\"\"\"") { 4 } else { 1 };
        }
        return at + 2;
    }
    at += 1;
    while let Some(&inner) = bytes.get(at) {
        match inner {
            b'"' | b'\n' | b'\r' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(bytes: &[u8]) -> usize {
        Shape::of(bytes).levels
    }

    fn tokens(document: &str) -> usize {
        Shape::of(document.as_bytes()).tokens
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let many = "[".repeat(1000);
        for text in [
            format!("{{ a(b: \"{many}\") }}"),
            format!("{{ a(b: \"\\\"{many}\") }}"),
            format!("{{ a(b: \"\"\"{many} \\\"\"\" {many}\"\"\") }}"),
            format!("# {many}\n{{ a }}"),
        ] {
            assert!(levels(text.as_bytes()) <= 2, "{text}");
        }
        assert_eq!(levels(format!("\"\" {many}").as_bytes()), 1000);
        assert_eq!(levels(format!("\"\"\"\"\"\" {many}").as_bytes()), 1000);
        assert_eq!(levels(b"\"\"\" unfinished ["), 0);
    }

    #[test]
    fn bracket_bombs_are_refused_before_they_are_parsed() {
        for depth in [100, 1_000, 20_000] {
            for (open, close) in [("[", "]"), ("{a:", "}"), ("{", "}")] {
                let bomb = format!("{{ a(b: {}1{}) }}", open.repeat(depth), close.repeat(depth));
                let code = check_shape(&bomb).unwrap_err().code;
                assert!(matches!(code, Code::QueryTooDeep | Code::QueryTooComplex), "{depth} {open}");
            }
        }
    }

    #[test]
    fn tokens_are_words_strings_and_punctuation() {
        assert_eq!(tokens("{ a }"), 3);
        assert_eq!(tokens("query Q($n: Int = 20) { a(first: $n, s: \"x y z\") }"), 22);
        assert_eq!(tokens("# a b c\n{a,b}"), 4);
        assert_eq!(tokens("\"\"\" a b c \"\"\" a"), 2);
        assert_eq!(check_shape(&format!("{{ {} }}", "a ".repeat(4_998))).map_err(|fault| fault.code), Ok(()));
        let many = check_shape(&format!("{{ {} }}", "a ".repeat(5_000)));
        assert_eq!(many.unwrap_err().code, Code::QueryTooComplex);
    }
}
