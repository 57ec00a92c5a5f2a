//! Pages: how many rows, and the opaque cursors between them.

use super::fault::Answer;
use super::{Code, Fault};
use crate::mirror::read::{ChildPage, Limit, MAX_PAGE};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads `first` and `last`: one of them, and not more than a page holds.
pub(super) fn limit(first: Option<i32>, last: Option<i32>) -> Answer<Limit> {
    match (first, last) {
        (Some(first), None) => Ok(Limit::First(rows("first", first)?)),
        (None, Some(last)) => Ok(Limit::Last(rows("last", last)?)),
        (None, None) => Err(Fault::bad_input(format!("say how many: first or last, at most {MAX_PAGE}"))),
        (Some(_), Some(_)) => Err(Fault::bad_input("first and last exclude each other: give one")),
    }
}

/// Reads `first` where rows are paged forward only.
pub(super) fn first(first: Option<i32>) -> Answer<Limit> {
    match first {
        Some(first) => Ok(Limit::First(rows("first", first)?)),
        None => Err(Fault::bad_input(format!("say how many: first, at most {MAX_PAGE}"))),
    }
}

fn rows(name: &str, given: i32) -> Answer<u32> {
    match u32::try_from(given) {
        Ok(rows) if rows <= MAX_PAGE => Ok(rows),
        Ok(rows) => {
            Err(Fault::new(Code::PageTooLarge, format!("{name}: {rows} asked, a page holds {MAX_PAGE} at most")))
        }
        Err(_) => Err(Fault::bad_input(format!("{name}: expected 0 to {MAX_PAGE}, got {given}"))),
    }
}

/// A cursor of the list that `tag` names.
pub(super) fn encode<T: Serialize>(tag: &str, place: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(tag, place)).unwrap_or_default())
}

/// Reads a cursor of the list that `tag` names; `argument` is where it was given.
pub(super) fn decode<T: DeserializeOwned>(tag: &str, argument: &str, cursor: Option<&str>) -> Answer<Option<T>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let invalid = || {
        let message = format!("{argument}: not a cursor of this list; take it from an edge or from pageInfo");
        Fault::new(Code::CursorInvalid, message)
    };
    if cursor.len() > 4096 {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    let (read, place): (String, T) = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if read == tag { Ok(Some(place)) } else { Err(invalid()) }
}

/// The arguments of a list under a record.
pub(super) fn child_page(
    tag: &str,
    (first, last): (Option<i32>, Option<i32>),
    (after, before): (Option<&str>, Option<&str>),
) -> Answer<ChildPage> {
    Ok(ChildPage {
        limit: limit(first, last)?,
        after: decode(tag, "after", after)?,
        before: decode(tag, "before", before)?,
    })
}

/// The cursor of a row, written when it is asked for: most answers hold nodes without cursors.
#[derive(Clone, Debug)]
pub(super) enum Cursor {
    /// In the list that the tag names, at this key.
    At(&'static str, i64),
    /// Written already.
    Text(String),
}

impl Cursor {
    /// As clients see it.
    pub fn to_text(&self) -> String {
        match self {
            Self::At(tag, key) => encode(tag, key),
            Self::Text(text) => text.clone(),
        }
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// Makes the connection and edge types of a node type.
macro_rules! connection {
    ($(#[$connection_meta:meta])* $connection:ident, $(#[$edge_meta:meta])* $edge:ident, $node:ty) => {
        $(#[$connection_meta])*
        #[derive(Default, async_graphql::SimpleObject)]
        #[graphql(complex)]
        pub struct $connection {
            /// The rows with their cursors, in order.
            pub edges: Vec<$edge>,
            #[graphql(skip)]
            has_previous: bool,
            #[graphql(skip)]
            has_next: bool,
        }

        #[async_graphql::ComplexObject]
        impl $connection {
            /// The rows without their cursors, in order.
            async fn nodes(&self) -> Vec<&$node> {
                self.edges.iter().map(|edge| &edge.node).collect()
            }

            /// What is before and behind this page.
            async fn page_info(&self) -> async_graphql::connection::PageInfo {
                async_graphql::connection::PageInfo {
                    has_previous_page: self.has_previous,
                    has_next_page: self.has_next,
                    start_cursor: self.edges.first().map(|edge| edge.place.to_text()),
                    end_cursor: self.edges.last().map(|edge| edge.place.to_text()),
                }
            }
        }

        $(#[$edge_meta])*
        #[derive(async_graphql::SimpleObject)]
        #[graphql(complex)]
        pub struct $edge {
            #[graphql(skip)]
            place: $crate::serve::graphql::paging::Cursor,
            /// The row.
            pub node: $node,
        }

        #[async_graphql::ComplexObject]
        impl $edge {
            /// Hand it back as `after` or `before` to go on from here; it holds after a restart too.
            async fn cursor(&self) -> String {
                self.place.to_text()
            }
        }

        impl $connection {
            /// A page of rows with their cursors.
            pub(super) fn new<C: Into<$crate::serve::graphql::paging::Cursor>>(
                rows: impl IntoIterator<Item = (C, $node)>,
                has_previous: bool,
                has_next: bool,
            ) -> Self {
                let edges = rows.into_iter().map(|(place, node)| $edge { place: place.into(), node });
                Self { edges: edges.collect(), has_previous, has_next }
            }
        }
    };
}
pub(super) use connection;
