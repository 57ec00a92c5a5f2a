//! The page for ops, its assets, and the runbook as the page reads it.
//!
//! The page itself is open to anybody and holds nothing; what it asks at `/graphql` needs an operator's key.

use super::assets::{self, Asset, IMAGE, JSON, SCRIPT, STYLE, assets};
use axum::extract::Path;
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use std::sync::LazyLock;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const ASSETS: [Asset; 13] = assets!("":
    "icon.svg": IMAGE,
    "console.css": STYLE,
    "main.js": SCRIPT,
    "api.js": SCRIPT,
    "live.js": SCRIPT,
    "documents.js": SCRIPT,
    "dom.js": SCRIPT,
    "words.js": SCRIPT,
    "parts.js": SCRIPT,
    "actions.js": SCRIPT,
    "attention.js": SCRIPT,
    "overview.js": SCRIPT,
    "runs.js": SCRIPT,
);

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    assets::page(&headers, POLICY, include_str!("../../console/index.html"))
}

/// A file that the page loads.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    if name == "runbook.json" {
        return assets::send(&headers, JSON, RUNBOOK.as_bytes());
    }
    assets::asset(&headers, &ASSETS, &name)
}

/// What the runbook says under each heading: the page shows it where the trouble is.
static RUNBOOK: LazyLock<String> = LazyLock::new(|| {
    let sections = read_sections(include_str!("../../docs/runbook.md"));
    serde_json::to_string(&sections).unwrap_or_else(|_| "[]".to_owned())
});

#[derive(Serialize)]
struct Section<'a> {
    heading: &'a str,
    /// Paragraphs in Markdown, without breaks inside of one.
    paragraphs: Vec<String>,
}

fn read_sections(runbook: &str) -> Vec<Section<'_>> {
    let begins = |line: &str| line.is_empty() || line.starts_with("**") || line.starts_with("- ");
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in runbook.lines().map(str::trim) {
        if let Some(heading) = line.strip_prefix("# ").or_else(|| line.strip_prefix("## ")) {
            sections.push(Section { heading, paragraphs: vec![String::new()] });
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        match section.paragraphs.last_mut() {
            Some(last) if !begins(line) && !last.is_empty() => *last = format!("{last} {line}"),
            _ => section.paragraphs.push(line.to_owned()),
        }
    }
    for section in &mut sections {
        section.paragraphs.retain(|paragraph| !paragraph.is_empty());
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = include_str!("../../console/index.html");

    fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
        let assets = ASSETS.iter().map(|(name, _, bytes)| (*name, std::str::from_utf8(bytes).unwrap()));
        assets.chain([("index.html", INDEX)])
    }

    /// What a text names by `before`, up to the next quote.
    fn named<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let rests = text.split(before).skip(1);
        rests.filter_map(|rest| rest.split(['"', '\'', '?']).next()).collect()
    }

    #[test]
    fn the_page_loads_all_that_the_binary_holds_and_nothing_else() {
        let known = |name: &str| name == "runbook.json" || ASSETS.iter().any(|(asset, _, _)| *asset == name);
        let mut loaded = Vec::new();
        for (file, text) in texts() {
            for name in named(text, "/console/").into_iter().chain(named(text, "from './")) {
                assert!(known(name), "{file} loads {name}, which is not served");
                loaded.push(name);
            }
        }
        for (name, _, _) in &ASSETS {
            assert!(loaded.contains(name), "nobody loads {name}");
        }
    }

    #[test]
    fn it_is_small_and_names_no_other_host_and_no_inline_script_or_style() {
        let mut bytes = RUNBOOK.len();
        for (file, text) in texts() {
            bytes += text.len();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("\"//"), "{file}");
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{file}");
        }
        assert!(bytes < 200_000, "{bytes} bytes");
        assert!(INDEX.matches("<script").count() == 1 && INDEX.contains("<script type=\"module\" src="));
        assert!(!INDEX.contains("style=") && !INDEX.contains("<style") && !INDEX.contains(" on"));
    }

    #[test]
    fn the_runbook_is_read_by_its_headings() {
        let sections =
            read_sections("# Book\n\n## One\nIt\nis.\n**Do:** this,\nthen.\n\n# Next\ntext\n\n## Two\nEnd.\n");
        let read: Vec<_> = sections.iter().map(|section| (section.heading, section.paragraphs.join("|"))).collect();
        let expected = [("Book", ""), ("One", "It is.|**Do:** this, then."), ("Next", "text"), ("Two", "End.")];
        assert_eq!(read, expected.map(|(heading, text)| (heading, text.to_owned())));
        for heading in ["DELETIONS_NEED_APPROVAL", "RUN_STATE_CONFLICT", "UNAUTHENTICATED"] {
            assert!(RUNBOOK.contains(&format!("\"heading\":\"{heading}\"")), "{heading}");
        }
    }
}
