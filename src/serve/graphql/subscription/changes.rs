//! `profileChanges`: what is there, what has changed, what changes.

use super::event::{CaughtUp, CursorExpired, Interrupted, ProfileChange, ProfileEvent, ProfileLeft, ProfileSnapshot};
use super::judge::{Verdict, Wanted};
use crate::mirror::read::PastError;
use crate::publish::{Cursor, Event, Feed, FeedItem, Snapshot};
use crate::serve::graphql::change::Change;
use crate::serve::graphql::fault::{Answer, Code, Fault};
use crate::serve::graphql::position::{Position, Told};
use crate::serve::graphql::profile::Profile;
use crate::serve::graphql::source::find_source;
use std::sync::Arc;

/// The events of one subscription.
pub(super) struct Changes {
    feed: Feed,
    wanted: Wanted,
    /// What is left of the snapshot.
    snapshot: Option<Snapshot>,
    position: Arc<Position>,
    /// The snapshot was broken off.
    is_over: bool,
}

impl Changes {
    pub fn new(feed: Feed, wanted: Wanted, has_snapshot: bool, position: Arc<Position>) -> Self {
        let has_snapshot = has_snapshot || feed.is_inside_snapshot();
        let snapshot = has_snapshot.then(|| feed.snapshot(wanted.predicate.clone()));
        Self { feed, wanted, snapshot, position, is_over: false }
    }

    /// The next event; none behind the last.
    pub async fn next(&mut self) -> Option<Answer<ProfileEvent>> {
        if self.is_over {
            return None;
        }
        if self.snapshot.is_some()
            && let Some(event) = self.next_of_snapshot().await
        {
            return Some(event);
        }
        loop {
            match self.feed.next().await? {
                FeedItem::Change { event, cursor } => match self.wanted.judge(&event).await {
                    Ok(Verdict::Other) => self.position.pass(cursor),
                    Ok(verdict) => return Some(self.read(verdict, &event, &cursor).await),
                    Err(fault) => return Some(Err(fault)),
                },
                FeedItem::CaughtUp { cursor } => {
                    if self.position.resumed_at().is_some() {
                        self.position.pass(cursor);
                    } else {
                        self.position.tell(Told { cursor: cursor.clone(), change: None, kept: None, is_last: false });
                        return Some(Ok(ProfileEvent::CaughtUp(CaughtUp { cursor: (&cursor).into() })));
                    }
                }
                FeedItem::Expired { oldest } => return Some(Ok(expired(&oldest))),
                FeedItem::Failed(error) => return Some(Err(Fault::from(error))),
                FeedItem::Stopped { cursor } => {
                    self.position.tell(Told { cursor: cursor.clone(), change: None, kept: None, is_last: true });
                    return Some(Ok(interrupted(&cursor)));
                }
            }
        }
    }

    async fn next_of_snapshot(&mut self) -> Option<Answer<ProfileEvent>> {
        let snapshot = self.snapshot.as_mut()?;
        let read = tokio::select! {
            biased;
            () = self.feed.stopping() => {
                let cursor = snapshot.cursor();
                self.is_over = true;
                return Some(Ok(interrupted(&cursor)));
            }
            read = snapshot.next() => read,
        };
        match read {
            Ok(Some(past)) => {
                let cursor = snapshot.cursor();
                let source = find_source(&self.wanted.reader, past.row.source_id).await;
                Some(source.map(|source| {
                    let profile = Profile::in_past(past, source);
                    ProfileEvent::ProfileSnapshot(ProfileSnapshot { cursor: (&cursor).into(), profile })
                }))
            }
            Ok(None) => {
                self.snapshot = None;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(failed(error)))
            }
        }
    }

    async fn read(&self, verdict: Verdict, event: &Arc<Event>, cursor: &Cursor) -> Answer<ProfileEvent> {
        let source = find_source(&self.wanted.reader, event.change.source_id).await?;
        let change = Some((source.name.as_str().into(), event.change.revision));
        let kept = Some(self.feed.keep(Arc::clone(event)));
        self.position.tell(Told { cursor: cursor.clone(), change, kept, is_last: false });
        let known = event.profile.as_ref().filter(|row| row.is_known);
        let profile = known.map(|row| Profile::now(Arc::clone(row), Arc::clone(&source)));
        let change = Change::loaded(Arc::clone(&event.change), source, profile.clone());
        let cursor = cursor.into();
        Ok(match (verdict, &profile) {
            (Verdict::Left, Some(left)) => {
                ProfileEvent::ProfileLeft(ProfileLeft { cursor, id: left.global_id(), change, profile })
            }
            _ => ProfileEvent::ProfileChange(ProfileChange { cursor, change, profile }),
        })
    }
}

fn failed(error: PastError) -> Fault {
    match error {
        PastError::Unreadable(error) => error.into(),
        PastError::Expired | PastError::Ahead | PastError::TooFar => Fault::new(
            Code::CursorExpired,
            "after: too much has changed since the snapshot began; subscribe anew without `after`",
        ),
    }
}

fn expired(oldest: &Cursor) -> ProfileEvent {
    ProfileEvent::CursorExpired(CursorExpired {
        oldest: oldest.into(),
        message: "the change log no longer holds what came next: subscribe anew with `snapshot: true` and without \
                  `after`"
            .to_owned(),
    })
}

fn interrupted(cursor: &Cursor) -> ProfileEvent {
    ProfileEvent::Interrupted(Interrupted {
        cursor: cursor.into(),
        message: "the service stops: subscribe again after this cursor".to_owned(),
    })
}
