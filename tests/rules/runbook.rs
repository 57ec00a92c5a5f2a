//! The runbook has a heading for every code that clients can meet.

use std::collections::BTreeSet;
use std::path::Path;

/// Literals of the serve stage that are written like codes and are none: variables of the build, words of the schema.
const NOT_CODES: &[&str] = &["CARGO_MANIFEST_DIR", "CARGO_PKG_VERSION", "NON_NULL", "UPDATE_SCHEMA"];

#[test]
fn every_code_has_a_heading() {
    let headings = headings();
    let missing: Vec<String> = codes_in_serve().into_iter().filter(|code| !headings.contains(code)).collect();
    assert!(missing.is_empty(), "docs/runbook.md has no heading for {}", missing.join(", "));
}

#[test]
fn the_codes_that_clients_are_told_of_have_headings() {
    let promised = [
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "BAD_USER_INPUT",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "QUERY_TOO_COMPLEX",
        "QUERY_TOO_DEEP",
        "PAGE_TOO_LARGE",
        "PERSISTED_QUERY_NOT_FOUND",
        "PERSISTED_QUERY_REQUIRED",
        "CURSOR_EXPIRED",
        "CURSOR_INVALID",
        "SOURCE_PAUSED",
        "DELETIONS_NEED_APPROVAL",
        "RUN_IN_PROGRESS",
        "RATE_LIMITED",
        "UNAVAILABLE",
        "INTERNAL_SERVER_ERROR",
    ];
    let headings = headings();
    for code in promised {
        assert!(headings.contains(code), "docs/runbook.md has no heading for {code}");
    }
}

fn headings() -> BTreeSet<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbook.md")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("## ")).map(|heading| heading.trim().to_owned()).collect()
}

/// Every literal of the serve stage that is written like a code: capitals with an underscore.
fn codes_in_serve() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let mut places = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve")];
    while let Some(place) = places.pop() {
        if place.is_dir() {
            places.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = std::fs::read_to_string(&place) {
            let literals = text.split('"').skip(1).step_by(2);
            codes.extend(literals.filter(|literal| is_code(literal)).map(str::to_owned));
        }
    }
    codes
}

fn is_code(literal: &str) -> bool {
    literal.contains('_')
        && literal.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        && !literal.starts_with('_')
        && !NOT_CODES.contains(&literal)
}
