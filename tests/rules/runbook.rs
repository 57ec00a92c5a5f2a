//! The runbook has a heading for every code that clients can meet.

use profile_mirror::serve::graphql::{Code, ProblemCode};
use std::collections::BTreeSet;

#[test]
fn every_code_has_a_heading() {
    let headings = headings();
    for code in Code::ALL {
        assert!(headings.contains(code.as_str()), "docs/runbook.md has no heading for {}", code.as_str());
    }
    for code in ProblemCode::ALL {
        assert!(headings.contains(code.heading()), "docs/runbook.md has no heading for {}", code.heading());
    }
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
