//! Interests in all the shapes that Copernica may write them in.
//!
//! The documentation contradicts itself: its text says a list of names, its sample a map from name
//! to 1 or 0, and since December 2021 webhooks also give a group, whose shape is not shown. REST
//! lists the names of those that are on. What cannot be read for certain is told apart from *none*,
//! so that the profile is fetched instead of losing interests.

use crate::{InterestSeen, json};
use serde_json::Value;

/// Reads the interests that are on, sorted, each once.
///
/// # Errors
/// Why they cannot be read for certain: the reason to fetch the profile.
pub(super) fn read(value: &Value) -> Result<Vec<InterestSeen>, &'static str> {
    let mut seen = Vec::new();
    match value {
        Value::Null => {}
        Value::String(text) if text.trim().is_empty() => {}
        Value::Array(items) => read_list(items.iter(), None, &mut seen)?,
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::Object(item) if is_number(key) => match item.get("name").map(flag) {
                        // `[i][name]=n&[i][group]=g`
                        Some(None) => read_item(value, None, &mut seen)?,
                        _ => return Err("interests under a number may be a group or a place in a list"),
                    },
                    Value::Object(group) => {
                        for (name, value) in group {
                            read_entry(name, value, Some(key), &mut seen)?;
                        }
                    }
                    Value::Array(_) if is_number(key) => {
                        return Err("interests under a number may be a group or a place in a list");
                    }
                    Value::Array(items) => read_list(items.iter(), Some(key), &mut seen)?,
                    scalar => read_entry(key, scalar, None, &mut seen)?,
                }
            }
        }
        _ => return Err("interests are neither a list nor a map"),
    }
    seen.sort();
    seen.dedup();
    Ok(seen)
}

fn read_list<'a>(
    items: impl Iterator<Item = &'a Value>,
    group: Option<&str>,
    seen: &mut Vec<InterestSeen>,
) -> Result<(), &'static str> {
    items.into_iter().try_for_each(|item| read_item(item, group, seen))
}

/// An item of a list: a name, or an object with a name and perhaps a group.
fn read_item(item: &Value, group: Option<&str>, seen: &mut Vec<InterestSeen>) -> Result<(), &'static str> {
    match item {
        Value::Object(object) => {
            let name = object.get("name").and_then(json::scalar).filter(|name| !name.trim().is_empty());
            let name = name.ok_or("an interest has no name")?;
            let own = object.get("group").and_then(json::scalar).filter(|group| !group.trim().is_empty());
            seen.push(InterestSeen { group: own.or_else(|| group.map(str::to_owned)), name });
        }
        Value::Null => {}
        scalar => {
            let name = json::scalar(scalar).ok_or("an interest is a list within a list")?;
            if !name.trim().is_empty() {
                seen.push(InterestSeen { group: group.map(str::to_owned), name });
            }
        }
    }
    Ok(())
}

/// An entry of a map: a name with 1 or 0, or a place with a name.
fn read_entry(key: &str, value: &Value, group: Option<&str>, seen: &mut Vec<InterestSeen>) -> Result<(), &'static str> {
    let name = match (flag(value), is_number(key)) {
        (Some(_), true) => return Err("an interest under a number may be a name or a place in a list"),
        (Some(false), false) => return Ok(()),
        (Some(true), false) => key.to_owned(),
        (None, true) => json::scalar(value).ok_or("an interest is nested too deeply")?,
        (None, false) => return Err("an interest is neither on nor off"),
    };
    seen.push(InterestSeen { group: group.map(str::to_owned), name });
    Ok(())
}

/// Whether a value switches an interest on or off, or `None` where it is no switch.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim() {
            "1" | "true" => Some(true),
            "0" | "false" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn is_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copernica::brackets::read_form;

    fn form(body: &str) -> Result<Vec<String>, &'static str> {
        let event = read_form(body.as_bytes()).unwrap();
        read(event.get("interests").unwrap()).map(|seen| {
            let text = |seen: InterestSeen| match seen.group {
                Some(group) => format!("{group}/{}", seen.name),
                None => seen.name,
            };
            seen.into_iter().map(text).collect()
        })
    }

    #[test]
    fn every_shape_is_read() {
        for (body, expected) in [
            ("interests[]=red&interests[]=blue", vec!["blue", "red"]),
            ("interests[0]=red&interests[1]=blue", vec!["blue", "red"]),
            ("interests[red]=0&interests[blue]=1", vec!["blue"]),
            ("interests[red]=false&interests[blue]=true&interests[x]=", vec!["blue"]),
            ("interests[sports][soccer]=1&interests[sports][golf]=0", vec!["sports/soccer"]),
            ("interests[sports][]=soccer&interests[sports][]=golf", vec!["sports/golf", "sports/soccer"]),
            ("interests[sports][0]=soccer", vec!["sports/soccer"]),
            ("interests[0][name]=soccer&interests[0][group]=sports", vec!["sports/soccer"]),
            ("interests[0][name]=soccer&interests[0][group]=", vec!["soccer"]),
            ("interests[sports][name]=1", vec!["sports/name"]),
            ("interests[]=", vec![]),
            ("interests=", vec![]),
            ("interests[]=7", vec!["7"]),
        ] {
            assert_eq!(form(body), Ok(expected.into_iter().map(str::to_owned).collect()), "{body}");
        }
    }

    #[test]
    fn what_may_mean_two_things_is_not_guessed() {
        for body in [
            "interests[2024]=1",
            "interests[0]=0",
            "interests[0][blue]=1",
            "interests[5][name]=1",
            "interests[0][]=x",
            "interests[sports][7]=1",
            "interests[blue]=maybe",
            "interests[a][b][c]=1",
            "interests=blue",
        ] {
            assert!(form(body).is_err(), "{body}");
        }
    }
}
