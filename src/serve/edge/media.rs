//! Media types of requests and answers.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

/// In which media type an answer goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status tells whether the request was executed.
    Response,
    /// `application/json`: 200 for whatever was understood.
    Json,
}

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// What the client would rather have; none where it wants neither.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
        if ranges.peek().is_none() {
            return Some(Self::Json);
        }
        let mut best: Option<(f32, Self)> = None;
        for range in ranges.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media = match parts.next().map(str::to_ascii_lowercase).as_deref() {
                Some("application/graphql-response+json") => Self::Response,
                Some("application/json" | "application/*" | "*/*") => Self::Json,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let is_better = match best {
                None => quality > 0.0,
                Some((known, Self::Json)) => quality > known || (quality == known && media == Self::Response),
                Some((known, Self::Response)) => quality > known,
            };
            if is_better {
                best = Some((quality, media));
            }
        }
        best.map(|(_, media)| media)
    }
}

/// Whether the client takes server-sent events.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    let is_taken = |range: &str| {
        let media = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(media.as_str(), "text/event-stream" | "text/*" | "*/*")
    };
    ranges.peek().is_none() || ranges.flat_map(|value| value.split(',')).any(is_taken)
}

/// Whether the body is declared as JSON, which no form of a foreign page can do.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &'static str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().unwrap());
        Media::accepted(&headers)
    }

    #[test]
    fn the_clients_preference_decides() {
        assert_eq!(Media::accepted(&HeaderMap::new()), Some(Media::Json));
        assert_eq!(accepted("*/*"), Some(Media::Json));
        assert_eq!(accepted("application/json, application/graphql-response+json"), Some(Media::Response));
        assert_eq!(accepted("application/graphql-response+json;q=0.5, application/json"), Some(Media::Json));
        assert_eq!(accepted("text/html"), None);
        assert_eq!(accepted("application/json;q=0"), None);
    }

    #[test]
    fn events_are_for_who_takes_them() {
        let taken = |value: &'static str| takes_events(&HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]));
        assert!(takes_events(&HeaderMap::new()) && taken("text/event-stream") && taken("application/json, */*;q=0.1"));
        assert!(!taken("application/json") && !taken("text/html"));
    }
}
