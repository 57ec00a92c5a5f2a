//! The root of subscriptions.

mod changes;
mod event;
mod judge;
mod one;
mod runs;

use super::Fault;
use super::filter::ProfileFilter;
use super::guard::Needs;
use super::position::Position;
use super::profile::Profile;
use super::query::{ProfileRef, name_profile, read_cursor};
use super::run::SyncRun;
use super::scalar::Cursor;
use super::source::Source;
use super::word::ChangeKind;
use crate::clock::SharedClock;
use crate::config::Role;
use crate::mirror::read::Reader;
use crate::publish::Publisher;
use crate::serve::health_watch::HealthWatch;
use crate::serve::run_watch::RunWatch;
use async_graphql::{Context, ID, Subscription as SubscriptionRoot};
use event::ProfileEvent;
use futures::Stream;
use std::sync::Arc;

/// Where subscriptions start.
pub struct Subscription;

/// Where subscriptions start.
#[SubscriptionRoot]
impl Subscription {
    /// Each change once, in the order of its source; goes on behind `after`, with no gap between what was and what comes.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn profile_changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only changes of profiles that pass, as they are once changed. A profile that passes no more is told with ProfileLeft. Where the filter looks at related profiles, changes of these alone are not told."
        )]
        filter: Option<ProfileFilter>,
        #[graphql(desc = "Only changes of these kinds. Profiles that leave are told whatever the kind.")] kinds: Option<
            Vec<ChangeKind>,
        >,
        #[graphql(desc = "Go on behind this cursor; from now on where it is left out.")] after: Option<Cursor>,
        #[graphql(
            desc = "First the profiles that are there and pass, deleted ones left out as in `profiles`. With `after` only the rest of a snapshot that the cursor is inside of, so that a client may resume with the same document.",
            default
        )]
        snapshot: bool,
    ) -> Result<impl Stream<Item = Result<ProfileEvent, Fault>> + use<>, Fault> {
        let wanted = judge::Wanted {
            predicate: filter.map(|filter| filter.read(ctx.data_unchecked::<SharedClock>().now())).transpose()?,
            kinds: kinds.map(|kinds| kinds.into_iter().map(Into::into).collect()),
            reader: ctx.data_unchecked::<Reader>().clone(),
        };
        let position = ctx.data_opt::<Arc<Position>>().cloned().unwrap_or_default();
        let after = match position.resumed_at() {
            Some(cursor) => Some(cursor.clone()),
            None => read_cursor(after)?,
        };
        let has_snapshot = snapshot && after.is_none();
        let feed = ctx.data_unchecked::<Arc<Publisher>>().subscribe(after).await?;
        let changes = changes::Changes::new(feed, wanted, has_snapshot, position);
        Ok(futures::stream::unfold(changes, |mut changes| async move { Some((changes.next().await?, changes)) }))
    }

    /// A profile as it is now, and again after each change of it or of what hangs on it; null while the mirror does not
    /// know it.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which profile.")] by: ProfileRef,
    ) -> Result<impl Stream<Item = Result<Option<Profile>, Fault>> + use<>, Fault> {
        let unknown = || Fault::bad_input("by: names no source that is configured");
        let (source, external_id) = name_profile(ctx, by).await?.ok_or_else(unknown)?;
        let feed = ctx.data_unchecked::<Arc<Publisher>>().subscribe(None).await?;
        let one = one::One::new(feed, ctx.data_unchecked::<Reader>().clone(), source, external_id);
        Ok(futures::stream::unfold(one, |mut one| async move { Some((one.next().await?, one)) }))
    }

    /// Each source as it stands now, and again whenever its state or the reason of it has changed.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn source_health(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<Source, Fault>> + use<>, Fault> {
        let steps = ctx.data_unchecked::<Arc<HealthWatch>>().subscribe();
        Ok(futures::stream::unfold(
            steps,
            |mut steps| async move { Some((Ok(Source::new(steps.next().await?)), steps)) },
        ))
    }

    /// A run as it is now, and again whenever it has moved, at most four times a second, until it has ended. Without `run`:
    /// every run that goes on or begins. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn sync_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only this run; every run where it is left out.")] run: Option<ID>,
    ) -> Result<impl Stream<Item = Result<SyncRun, Fault>> + use<>, Fault> {
        let reader = ctx.data_unchecked::<Reader>().clone();
        let follow = runs::Follow::new(reader, ctx.data_unchecked::<Arc<RunWatch>>(), run).await?;
        Ok(futures::stream::unfold(follow, |mut follow| async move { Some((follow.next().await?, follow)) }))
    }
}
