//! Percent-encoding of ids in paths: GetProfile's are chosen by the caller and may hold anything.

use std::fmt::Write;

/// `text` as one segment of a path: everything but the unreserved characters of RFC 3986 is encoded.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_cannot_leave_their_segment() {
        assert_eq!(segment("a/b?c=d#é"), "a%2Fb%3Fc%3Dd%23%C3%A9");
        assert_eq!(segment("user-1_2.x~"), "user-1_2.x~");
    }
}
