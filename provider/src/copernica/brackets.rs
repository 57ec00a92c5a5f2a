//! Form bodies with bracketed names (`fields[name]=x`, `interests[]=y`), the way PHP writes them.
//!
//! Bounded in pairs and depth, because a webhook is read by whoever can send one, and strict where
//! guessing would lose a value: one name as text and as a list is an error. `%5B` and `%5D` are
//! brackets as well, and names that are not bracketed well are names as they stand.

use crate::text::without_nul;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most pairs in one body.
const MAX_PAIRS: usize = 20_000;
/// Most brackets in one name.
const MAX_DEPTH: usize = 5;

/// Reads a form body into an object: bracketed names become objects, `[]` becomes lists.
///
/// # Errors
/// A sentence without anything from the body but the outermost name.
pub(super) fn read_form(body: &[u8]) -> Result<Map<String, Value>, String> {
    let pairs = 1 + body.iter().filter(|byte| **byte == b'&').count();
    if pairs > MAX_PAIRS {
        return Err(format!("the form has {pairs} values, at most {MAX_PAIRS} are read"));
    }
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(body).map_err(|_| "the body is not a form".to_owned())?;
    let mut root = BTreeMap::new();
    for (name, value) in pairs {
        let (name, value) = (without_nul(name), without_nul(value));
        let path = path(&name)?;
        let Some((first, rest)) = path.split_first() else { continue };
        let slot = root.entry((*first).to_owned()).or_insert(Node::Unset);
        insert(slot, rest, value)
            .map_err(|problem| format!("the form names {} {problem}", crate::text::shorten(first, 40)))?;
    }
    Ok(root.into_iter().map(|(name, node)| (name, node.into_value())).collect())
}

/// A value under construction.
enum Node {
    Unset,
    Text(String),
    Many { items: Vec<Node>, named: BTreeMap<String, Node> },
}

impl Node {
    fn into_value(self) -> Value {
        match self {
            Node::Unset => Value::Null,
            Node::Text(text) => Value::String(text),
            Node::Many { items, named } if named.is_empty() => {
                Value::Array(items.into_iter().map(Node::into_value).collect())
            }
            Node::Many { items, named } => {
                let mut object: Map<String, Value> =
                    named.into_iter().map(|(name, node)| (name, node.into_value())).collect();
                // PHP numbers `[]` on from the names that are there.
                let mut number = 0_u32;
                for item in items {
                    while object.contains_key(&number.to_string()) {
                        number += 1;
                    }
                    object.insert(number.to_string(), item.into_value());
                }
                Value::Object(object)
            }
        }
    }
}

/// The parts of a name: `a[b][]` is `a`, `b` and an empty one.
fn path(name: &str) -> Result<Vec<&str>, String> {
    let Some((first, mut rest)) = name.split_once('[').filter(|(first, _)| !first.is_empty()) else {
        return Ok(vec![name]);
    };
    let mut parts = vec![first];
    loop {
        let Some((part, after)) = rest.split_once(']') else {
            return Ok(vec![name]);
        };
        parts.push(part);
        if parts.len() > MAX_DEPTH + 1 {
            return Err(format!("the form nests deeper than {MAX_DEPTH}"));
        }
        if after.is_empty() {
            return Ok(parts);
        }
        match after.strip_prefix('[') {
            Some(next) => rest = next,
            None => return Ok(vec![name]),
        }
    }
}

fn insert(slot: &mut Node, path: &[&str], value: String) -> Result<(), &'static str> {
    let Some((first, rest)) = path.split_first() else {
        return match slot {
            Node::Many { .. } => Err("both as a list and as text"),
            // The last of several wins, as in PHP.
            Node::Unset | Node::Text(_) => {
                *slot = Node::Text(value);
                Ok(())
            }
        };
    };
    if matches!(slot, Node::Unset) {
        *slot = Node::Many { items: Vec::new(), named: BTreeMap::new() };
    }
    let Node::Many { items, named } = slot else {
        return Err("both as text and as a list");
    };
    if first.is_empty() {
        let mut item = Node::Unset;
        insert(&mut item, rest, value)?;
        items.push(item);
        return Ok(());
    }
    insert(named.entry((*first).to_owned()).or_insert(Node::Unset), rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(body: &str) -> Value {
        Value::Object(read_form(body.as_bytes()).unwrap())
    }

    #[test]
    fn names_in_brackets_nest() {
        assert_eq!(
            read("type=update&fields[name]=J%26K&fields[mail]=a%40b&interests[]=x&interests[]=y&g[a][b]=1"),
            json!({"type": "update", "fields": {"name": "J&K", "mail": "a@b"}, "interests": ["x", "y"], "g": {"a": {"b": "1"}}})
        );
    }

    #[test]
    fn encoded_brackets_are_brackets() {
        assert_eq!(read("fields%5Bname%5D=x&interests%5b%5d=y"), json!({"fields": {"name": "x"}, "interests": ["y"]}));
    }

    #[test]
    fn badly_bracketed_names_stay_as_they_are() {
        assert_eq!(
            read("a[b=1&[c]=2&d]=3&e[f]g=4&=5"),
            json!({"a[b": "1", "[c]": "2", "d]": "3", "e[f]g": "4", "": "5"})
        );
    }

    #[test]
    fn lists_and_names_mix() {
        assert_eq!(read("a[]=x&a[0]=y&a[k]=z"), json!({"a": {"0": "y", "1": "x", "k": "z"}}));
    }

    #[test]
    fn text_and_list_under_one_name_are_an_error() {
        assert!(read_form(b"a=1&a[b]=2").is_err());
        assert!(read_form(b"a[b]=2&a=1").is_err());
        assert_eq!(read("a=1&a=2"), json!({"a": "2"}));
    }

    #[test]
    fn size_and_depth_are_bounded() {
        assert!(read_form("a=1&".repeat(MAX_PAIRS).as_bytes()).is_err());
        assert!(read_form(b"a[1][2][3][4][5]=x").is_ok());
        assert!(read_form(b"a[1][2][3][4][5][6]=x").is_err());
        assert!(read_form(format!("a{}=x", "[b]".repeat(100_000)).as_bytes()).is_err());
    }

    #[test]
    fn nul_and_broken_encoding_are_taken() {
        assert_eq!(read("a%00b=c%00d&x=%ff&y=%zz"), json!({"ab": "cd", "x": "\u{fffd}", "y": "%zz"}));
        assert!(read_form(b"").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_form(&body);
        }

        #[test]
        fn any_brackets_are_read_or_refused(body in r"([ab&=]|\[|\]|%5B|%5D|%00){0,60}") {
            let _ = read_form(body.as_bytes());
        }
    }
}
