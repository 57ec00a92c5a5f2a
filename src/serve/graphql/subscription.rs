//! The root of subscriptions.

use super::Fault;
use super::change::Change;
use super::fault::Answer;
use super::filter::ProfileFilter;
use super::global_id::{self, Kind};
use super::guard::Needs;
use super::profile::Profile;
use super::query::read_cursor;
use super::run::SyncRun;
use super::scalar::Cursor;
use super::word::ChangeKind;
use crate::clock::SharedClock;
use crate::config::Role;
use crate::mirror::read::{Predicate, Reader};
use crate::publish::{Event, Feed, FeedItem, Publisher};
use crate::serve::run_watch::{self, RunWatch, Steps};
use ::entity::sync_run;
use async_graphql::{Context, ID, SimpleObject, Subscription as SubscriptionRoot, Union};
use futures::Stream;
use std::collections::{HashMap, VecDeque};
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
            predicate: filter.map(|filter| filter.read(ctx.data_unchecked::<SharedClock>().now())).transpose()?,
            kinds: kinds.map(|kinds| kinds.into_iter().map(Into::into).collect()),
            reader: ctx.data_unchecked::<Reader>().clone(),
        };
        let feed = ctx.data_unchecked::<Arc<Publisher>>().subscribe(read_cursor(after)?).await?;
        Ok(futures::stream::unfold((feed, wanted), |(mut feed, wanted)| async move {
            let event = next(&mut feed, &wanted).await?;
            Some((event, (feed, wanted)))
        }))
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
        let follow = Follow::new(reader, ctx.data_unchecked::<Arc<RunWatch>>(), run).await?;
        Ok(futures::stream::unfold(follow, |mut follow| async move { Some((follow.next().await?, follow)) }))
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
        if predicate.needs_database() {
            return Ok(!self.reader.passing_ids(&[profile.id], predicate).await?.is_empty());
        }
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

/// The runs that a subscriber follows.
struct Follow {
    reader: Reader,
    steps: Steps,
    /// As they were when the subscriber came.
    first: VecDeque<Arc<sync_run::Model>>,
    /// As they were told last.
    told: HashMap<i64, Arc<sync_run::Model>>,
    only: Option<i64>,
    is_over: bool,
}

impl Follow {
    async fn new(reader: Reader, watch: &Arc<RunWatch>, run: Option<ID>) -> Answer<Self> {
        let only = match run {
            Some(id) => Some(find_run(&reader, &id).await?),
            None => None,
        };
        let steps = watch.subscribe().await?;
        // Read after subscribing: whatever happens from here on comes as a step.
        let now = match only {
            Some(id) => reader.sync_run(id).await?.into_iter().collect(),
            None => reader.runs_to_watch(&[], None).await?,
        };
        let first = now.into_iter().map(Arc::new).collect();
        Ok(Self { reader, steps, first, told: HashMap::new(), only, is_over: false })
    }

    async fn next(&mut self) -> Option<Answer<SyncRun>> {
        while !self.is_over {
            let run = match self.first.pop_front() {
                Some(run) => run,
                None => match self.steps.next().await? {
                    Ok(run) => run,
                    Err(error) => {
                        self.is_over = true;
                        return Some(Err(error.into()));
                    }
                },
            };
            let is_wanted = self.only.is_none_or(|id| id == run.id);
            if !is_wanted || self.told.get(&run.id) == Some(&run) {
                continue;
            }
            if run_watch::has_ended(&run) {
                self.told.remove(&run.id);
                self.is_over = self.only.is_some();
            } else {
                self.told.insert(run.id, Arc::clone(&run));
            }
            let source = super::source::find_source(&self.reader, run.source_id).await;
            return Some(source.map(|source| SyncRun { row: run.as_ref().clone(), source }));
        }
        None
    }
}

/// Number of the run with this id.
async fn find_run(reader: &Reader, id: &ID) -> Answer<i64> {
    let unknown = || Fault::bad_input(format!("run: there is no run {:?}", id.0));
    let read = global_id::decode(id).filter(|id| id.kind == Kind::Run).ok_or_else(unknown)?;
    let number = read.external_id.parse().map_err(|_| unknown())?;
    let run = reader.sync_run(number).await?.ok_or_else(unknown)?;
    let source = super::source::find_source(reader, run.source_id).await?;
    if source.name == read.source { Ok(number) } else { Err(unknown()) }
}
