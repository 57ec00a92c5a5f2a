//! What `profileChanges` sends.

use crate::serve::graphql::change::Change;
use crate::serve::graphql::profile::Profile;
use crate::serve::graphql::scalar::Cursor;
use async_graphql::{ID, SimpleObject, Union};

/// What `profileChanges` sends.
#[derive(Union)]
#[allow(clippy::large_enum_variant, reason = "one of them lives at once, for the time of a message")]
pub enum ProfileEvent {
    /// A profile that was there already.
    ProfileSnapshot(ProfileSnapshot),
    /// A change.
    ProfileChange(ProfileChange),
    /// A profile that passes the filter no more.
    ProfileLeft(ProfileLeft),
    /// Everything so far has been sent.
    CaughtUp(CaughtUp),
    /// The cursor is too old.
    CursorExpired(CursorExpired),
    /// The service stops.
    Interrupted(Interrupted),
}

/// A profile that was there when the subscription began, as it was then. Sent only with `snapshot: true`, before anything
/// else.
#[derive(SimpleObject)]
pub struct ProfileSnapshot {
    /// Keep it: as `after` the snapshot goes on behind this profile, and then the changes since it began.
    pub(super) cursor: Cursor,
    /// The profile.
    pub(super) profile: Profile,
}

/// A change of a profile, or of what hangs on it.
#[derive(SimpleObject)]
pub struct ProfileChange {
    /// Keep it: as `after` it goes on behind this change.
    pub(super) cursor: Cursor,
    /// What happened.
    pub(super) change: Change,
    /// The profile as it is now; null where the mirror no longer keeps it.
    pub(super) profile: Option<Profile>,
}

/// A profile that passed the filter before a change, and passes no more: take it out of what you show. Where what it was
/// before is not known any more, as after an erasure or of what hung on it, it is sent all the same, so that a client may
/// be told of a profile that it never had.
#[derive(SimpleObject)]
pub struct ProfileLeft {
    /// Keep it: as `after` it goes on behind this change.
    pub(super) cursor: Cursor,
    /// The profile's id.
    pub(super) id: ID,
    /// What happened.
    pub(super) change: Change,
    /// The profile as it is now; null where the mirror no longer keeps it.
    pub(super) profile: Option<Profile>,
}

/// Everything up to here has been sent; what follows happens now. Sent once, also where nothing had to be caught up, so
/// that a client holds a cursor before the first change.
#[derive(SimpleObject)]
pub struct CaughtUp {
    /// Keep it: as `after` it goes on from here.
    pub(super) cursor: Cursor,
}

/// The change log no longer holds what comes behind the cursor that was given. The stream ends.
#[derive(SimpleObject)]
pub struct CursorExpired {
    /// The oldest place from which the log can still be read.
    pub(super) oldest: Cursor,
    /// What to do.
    pub(super) message: String,
}

/// The service stops, and the stream ends. Subscribe again, at another instance or in a moment: nothing is lost.
#[derive(SimpleObject)]
pub struct Interrupted {
    /// Go on after this.
    pub(super) cursor: Cursor,
    /// What to do.
    pub(super) message: String,
}
