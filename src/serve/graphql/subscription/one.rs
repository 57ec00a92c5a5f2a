//! `profile`: one profile, now and after each change.

use crate::mirror::read::{ProfileKey, Reader};
use crate::publish::{Event, Feed, FeedItem};
use crate::serve::graphql::fault::{Answer, Code, Fault};
use crate::serve::graphql::profile::Profile;
use ::entity::{profile, source};
use std::sync::Arc;

/// The states of one profile.
pub(super) struct One {
    feed: Feed,
    reader: Reader,
    source: Arc<source::Model>,
    external_id: String,
    has_begun: bool,
    is_over: bool,
}

impl One {
    pub fn new(feed: Feed, reader: Reader, source: Arc<source::Model>, external_id: String) -> Self {
        Self { feed, reader, source, external_id, has_begun: false, is_over: false }
    }

    /// The next state; none once the service stops.
    pub async fn next(&mut self) -> Option<Answer<Option<Profile>>> {
        if self.is_over {
            return None;
        }
        if !self.has_begun {
            // Read after the feed was opened: whatever happens from here on comes as a change.
            self.has_begun = true;
            let key = ProfileKey { source_id: self.source.id, external_id: self.external_id.clone() };
            let found = self.reader.profiles_by_keys(&[key]).await;
            return Some(
                found.map(|rows| rows.into_iter().next().map(|row| self.show(Arc::new(row)))).map_err(Into::into),
            );
        }
        loop {
            match self.feed.next().await? {
                FeedItem::Change { event, .. } if self.is_of(&event) => {
                    let known = event.profile.as_ref().filter(|row| row.is_known);
                    return Some(Ok(known.map(|row| self.show(Arc::clone(row)))));
                }
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

    fn show(&self, row: Arc<profile::Model>) -> Profile {
        Profile::now(row, Arc::clone(&self.source))
    }
}
