//! Which stage may know which: the table of the architecture, held against the code's own paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each part of `src/` may name of the others. `inbox` allows all of it, `inbox::head` that alone.
/// Parts that are not listed wire the others together and may know all: `app`, `cli`, `demo`, `main`, `lib`.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("backoff", &[]),
    ("causes", &[]),
    ("failpoint", &[]),
    ("config", &[]),
    ("db", &[]),
    ("telemetry", &["config", "clock"]),
    ("inbox", &["db", "clock", "failpoint"]),
    ("mirror", &["db", "clock"]),
    // Appends, and never takes.
    (
        "ingest",
        &[
            "db",
            "clock",
            "config",
            "backoff",
            "causes",
            "failpoint",
            "inbox::Inbox",
            "inbox::NewDelivery",
            "inbox::Along",
            "inbox::Appended",
            "inbox::AppendError",
            "inbox::Context",
            "inbox::count_pending",
            "inbox::head",
            "inbox::is_held",
        ],
    ),
    // Takes, and never appends; writes the mirror, and does not read for clients.
    (
        "apply",
        &[
            "db",
            "clock",
            "backoff",
            "causes",
            "failpoint",
            "mirror::write",
            // Which only tests have.
            "mirror::read::fixture",
            "inbox::take",
            "inbox::take_held",
            "inbox::settle",
            "inbox::Taken",
            "inbox::Due",
            "inbox::Settlement",
            "inbox::Lease",
            "inbox::Watched",
            "inbox::free_unrenewed",
            "inbox::Context",
            "inbox::load_contexts",
            "inbox::renew",
            "inbox::erase",
        ],
    ),
    ("publish", &["db", "clock", "causes", "failpoint", "mirror::read"]),
    ("serve", &["db", "clock", "causes", "config", "mirror::read", "publish"]),
];

/// Crates that only some parts may name.
const CRATES: &[(&str, &[&str])] = &[
    ("simulator", &["cli", "demo", "main"]),
    ("migration", &["db", "cli"]),
    ("async_graphql", &["serve", "cli"]),
    ("axum", &["serve", "ingest", "app", "cli", "demo"]),
    ("reqwest", &["ingest", "app", "cli", "demo"]),
];

#[test]
fn each_stage_knows_only_what_the_architecture_lets_it() {
    let mut wrong = Vec::new();
    for (file, part, text) in sources() {
        let Some((_, allowed)) = MAY_KNOW.iter().find(|(name, _)| *name == part) else { continue };
        for path in paths_of(&text) {
            let is_own = path.split("::").next() == Some(part.as_str());
            if !is_own && !allowed.iter().any(|allowed| covers(allowed, &path)) {
                wrong.push(format!("{}: {part} must not know {path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_crate_is_named_only_where_it_belongs() {
    let mut wrong = Vec::new();
    for (file, part, text) in sources() {
        for (name, parts) in CRATES {
            if !parts.contains(&part.as_str()) && names_crate(&text, name) {
                wrong.push(format!("{}: {part} must not name {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_crates_beside_the_service_stay_apart() {
    let forbidden: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("provider", ["sea-orm", "axum", "reqwest", "entity", "simulator", "hickory-resolver"].as_slice()),
        ("simulator", &["provider", "entity", "sea-orm"]),
        ("entity", &["axum", "reqwest", "simulator", "migration"]),
        ("migration", &["entity", "provider", "axum"]),
    ]);
    for (name, forbidden) in forbidden {
        let path = root().join(name).join("Cargo.toml");
        let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for dependency in forbidden {
            assert!(!dependencies.contains_key(*dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn paths_are_read_from_every_form_of_use() {
    let text = "use crate::db::{Database, dialect};\nuse crate::{clock::Clock, inbox::{self, take}};\n\
        // crate::comment\nlet x = crate::mirror::read::page(1);";
    let found = paths_after("crate::", text);
    let expected = ["clock::Clock", "db::Database", "db::dialect", "inbox", "inbox::take", "mirror::read::page"];
    assert_eq!(found, expected.map(str::to_owned).into());
    let whole = "use crate::inbox::{self, Lease};\nlet x = inbox::settle(1); let y = my_inbox::no();";
    assert_eq!(paths_of(whole), ["inbox::Lease", "inbox::settle"].map(str::to_owned).into());
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file: its path, the part of `src/` that it belongs to, and its text.
fn sources() -> Vec<(PathBuf, String, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let within = path.strip_prefix(&src).unwrap();
                found.push((within.to_owned(), part_of(within), text));
            }
        }
    }
    assert!(found.len() > 10, "the sources are where this test looks for them");
    found
}

fn part_of(within: &Path) -> String {
    let first = within.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn covers(allowed: &str, path: &str) -> bool {
    path == allowed || path.starts_with(&format!("{allowed}::"))
}

fn names_crate(text: &str, name: &str) -> bool {
    code_lines(text).any(|line| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let is_start = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '.' && c != '"');
            is_start && line[at + name.len()..].starts_with("::")
        })
    })
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// What a file names of the crate. Of a module that it imports whole: what it names through it.
fn paths_of(text: &str) -> BTreeSet<String> {
    let mut paths = paths_after("crate::", text);
    for module in paths.iter().filter(|path| !path.contains("::")).cloned().collect::<Vec<_>>() {
        let through = paths_after(&format!("{module}::"), text);
        if !through.is_empty() {
            paths.remove(&module);
            paths.extend(through.into_iter().map(|path| format!("{module}::{path}")));
        }
    }
    paths
}

/// The paths that follow `prefix` in code, with groups written out.
fn paths_after(prefix: &str, text: &str) -> BTreeSet<String> {
    let code = code_lines(text).collect::<Vec<_>>().join("\n");
    let mut paths = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let is_whole_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_start = is_whole_word && !code[..at].ends_with("::");
        if !is_start {
            continue;
        }
        read_path(&mut code[at + prefix.len()..].chars().peekable(), String::new(), &mut paths);
    }
    paths
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads one path, or a group in braces, after `parent`.
fn read_path(chars: &mut Chars<'_>, parent: String, paths: &mut BTreeSet<String>) {
    let mut path = parent;
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'{').is_some() {
            loop {
                read_path(chars, path.clone(), paths);
                while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
                if chars.next_if_eq(&'}').is_some() || chars.peek().is_none() {
                    return;
                }
            }
        }
        let mut segment = String::new();
        while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '*') {
            segment.push(c);
        }
        if !segment.is_empty() && segment != "self" {
            path = if path.is_empty() { segment } else { format!("{path}::{segment}") };
        }
        let mut ahead = chars.clone();
        if (ahead.next(), ahead.next()) == (Some(':'), Some(':')) {
            *chars = ahead;
            continue;
        }
        if !path.is_empty() {
            paths.insert(path);
        }
        return;
    }
}
