//! `profile`: one profile, now and after each change.

use crate::mirror::read::{ProfileKey, Reader};
use crate::publish::{Event, Feed, FeedItem};
use crate::serve::graphql::fault::{Answer, Code, Fault};
use crate::serve::graphql::profile::Profile;
use ::entity::{RecordKind, profile, source};
use serde_json::Value;
use std::sync::Arc;

/// The states of one profile.
pub(super) struct One {
    feed: Feed,
    reader: Reader,
    source: Arc<source::Model>,
    external_id: String,
    has_begun: bool,
    is_over: bool,
    /// The newest change of the profile that was shown.
    shown: i64,
}

impl One {
    pub fn new(feed: Feed, reader: Reader, source: Arc<source::Model>, external_id: String) -> Self {
        Self { feed, reader, source, external_id, has_begun: false, is_over: false, shown: 0 }
    }

    /// The next state; none once the service stops.
    pub async fn next(&mut self) -> Option<Answer<Option<Profile>>> {
        if self.is_over {
            return None;
        }
        if !self.has_begun {
            // Read after the feed was opened: whatever happens from here on comes as a change.
            self.has_begun = true;
            return Some(self.read().await);
        }
        loop {
            match self.feed.next().await? {
                FeedItem::Change { event, .. } if self.is_of(&event) => {
                    // What was shown meanwhile may be newer than what waited in the feed.
                    if event.change.revision > self.shown {
                        let known = event.profile.as_ref().filter(|row| row.is_known);
                        return Some(Ok(known.map(|row| self.show(Arc::clone(row)))));
                    }
                }
                FeedItem::Change { event, .. } if self.is_end_of(&event) => return Some(self.read().await),
                FeedItem::Change { .. } | FeedItem::CaughtUp { .. } => {}
                FeedItem::Stopped { .. } => return None,
                FeedItem::Failed(error) => return Some(Err(error.into())),
                FeedItem::Expired { .. } => {
                    self.is_over = true;
                    let message = "this subscriber fell behind the change log: subscribe again";
                    return Some(Err(Fault::new(Code::CursorExpired, message)));
                }
            }
        }
    }

    fn is_of(&self, event: &Event) -> bool {
        let profile = event.profile.as_ref();
        profile.is_some_and(|row| row.source_id == self.source.id && row.external_id == self.external_id)
    }

    /// Whether a relationship has come or gone of which it is an end, or may be. The log tells it of one end, and names
    /// both, unless somebody is erased: then it names nobody.
    fn is_end_of(&self, event: &Event) -> bool {
        let change = &event.change;
        if change.source_id != self.source.id || change.record_kind != RecordKind::Relationship {
            return false;
        }
        let told = change.fields.as_array().into_iter().flatten();
        let ends: Vec<_> = told.filter(|part| part["name"] == "from" || part["name"] == "to").collect();
        let is_it =
            |end: &&Value| [&end["before"], &end["after"]].into_iter().any(|id| *id == self.external_id.as_str());
        ends.is_empty() || ends.iter().any(is_it)
    }

    async fn read(&mut self) -> Answer<Option<Profile>> {
        let key = ProfileKey { source_id: self.source.id, external_id: self.external_id.clone() };
        let found = self.reader.profiles_by_keys(&[key]).await?;
        Ok(found.into_iter().next().map(|row| self.show(Arc::new(row))))
    }

    fn show(&mut self, row: Arc<profile::Model>) -> Profile {
        self.shown = row.revision;
        Profile::now(row, Arc::clone(&self.source))
    }
}
