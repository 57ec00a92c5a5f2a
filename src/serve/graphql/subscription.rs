//! The root of subscriptions.

use super::Fault;
use super::change::Change;
use super::fault::Answer;
use super::filter::ProfileFilter;
use super::guard::Needs;
use super::profile::Profile;
use super::query::read_cursor;
use super::scalar::Cursor;
use super::word::ChangeKind;
use crate::config::Role;
use crate::mirror::read::{Predicate, Reader};
use crate::publish::{Event, Feed, FeedItem, Publisher};
use async_graphql::{Context, SimpleObject, Subscription as SubscriptionRoot, Union};
use futures::Stream;
use std::sync::Arc;

/// Where subscriptions start.
pub struct Subscription;

/// What `profileChanges` sends.
#[derive(Union)]
#[allow(clippy::large_enum_variant, reason = "one of them lives at once, for the time of a message")]
pub enum ProfileEvent {
    /// A change.
    ProfileChange(ProfileChange),
    /// Everything so far has been sent.
    CaughtUp(CaughtUp),
    /// The cursor is too old.
    CursorExpired(CursorExpired),
}

/// A change of a profile, or of what hangs on it.
#[derive(SimpleObject)]
pub struct ProfileChange {
    /// Keep it: as `after` it goes on behind this change.
    cursor: Cursor,
    /// What happened.
    change: Change,
    /// The profile as it is now; null where the mirror no longer keeps it.
    profile: Option<Profile>,
}

/// Everything up to here has been sent; what follows happens now. Sent once, also where nothing had to be caught up, so
/// that a client holds a cursor before the first change.
#[derive(SimpleObject)]
pub struct CaughtUp {
    /// Keep it: as `after` it goes on from here.
    cursor: Cursor,
}

/// The change log no longer holds what comes behind the cursor that was given. The stream ends.
#[derive(SimpleObject)]
pub struct CursorExpired {
    /// The oldest place from which the log can still be read.
    oldest: Cursor,
    /// What to do.
    message: String,
}

/// Where subscriptions start.
#[SubscriptionRoot]
impl Subscription {
    /// Each change once, in the order of its source; goes on behind `after`, with no gap between what was and what comes.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn profile_changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only changes of profiles that pass, as they are once changed. Deleted ones are not left out."
        )]
        filter: Option<ProfileFilter>,
        #[graphql(desc = "Only changes of these kinds.")] kinds: Option<Vec<ChangeKind>>,
        #[graphql(desc = "Go on behind this cursor; from now on where it is left out.")] after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<ProfileEvent, Fault>> + use<>, Fault> {
        let wanted = Wanted {
            predicate: filter.map(ProfileFilter::read).transpose()?,
            kinds: kinds.map(|kinds| kinds.into_iter().map(Into::into).collect()),
            reader: ctx.data_unchecked::<Reader>().clone(),
        };
        let feed = ctx.data_unchecked::<Arc<Publisher>>().subscribe(read_cursor(after)?).await?;
        Ok(futures::stream::unfold((feed, wanted), |(mut feed, wanted)| async move {
            let event = next(&mut feed, &wanted).await?;
            Some((event, (feed, wanted)))
        }))
    }
}

/// Which changes a subscriber wants.
struct Wanted {
    predicate: Option<Predicate>,
    kinds: Option<Vec<::entity::ChangeKind>>,
    reader: Reader,
}

impl Wanted {
    async fn accepts(&self, event: &Event) -> Answer<bool> {
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&event.change.kind)) {
            return Ok(false);
        }
        let Some(predicate) = &self.predicate else { return Ok(true) };
        // Nothing is known of a profile that is not kept, so that no filter can tell it apart.
        let Some(profile) = &event.profile else { return Ok(false) };
        self.reader.source_by_id(profile.source_id).await?;
        let sources = self.reader.sources().await?;
        Ok(predicate.accepts(profile, event.profile_type.as_deref(), &sources))
    }
}

async fn next(feed: &mut Feed, wanted: &Wanted) -> Option<Answer<ProfileEvent>> {
    loop {
        return Some(Ok(match feed.next().await? {
            FeedItem::Change { event, cursor } => match wanted.accepts(&event).await {
                Ok(false) => continue,
                Ok(true) => match read_change(&wanted.reader, &event, &cursor).await {
                    Ok(change) => ProfileEvent::ProfileChange(change),
                    Err(fault) => return Some(Err(fault)),
                },
                Err(fault) => return Some(Err(fault)),
            },
            FeedItem::CaughtUp { cursor } => ProfileEvent::CaughtUp(CaughtUp { cursor: (&cursor).into() }),
            FeedItem::Expired { oldest } => ProfileEvent::CursorExpired(CursorExpired {
                oldest: (&oldest).into(),
                message: "the change log no longer holds what came next: read the profiles anew with `profiles`, \
                          then subscribe after `oldest`"
                    .to_owned(),
            }),
            FeedItem::Failed(error) => return Some(Err(Fault::from(error))),
        }));
    }
}

async fn read_change(reader: &Reader, event: &Event, cursor: &crate::publish::Cursor) -> Answer<ProfileChange> {
    let source = super::source::find_source(reader, event.change.source_id).await?;
    let known = event.profile.as_ref().filter(|row| row.is_known);
    let profile = known.map(|row| Profile { row: Arc::clone(row), source: Arc::clone(&source) });
    let change = Change::loaded(Arc::clone(&event.change), source, profile.clone());
    Ok(ProfileChange { cursor: cursor.into(), change, profile })
}
