//! Whether a subscriber wants an event, and whether a profile has left what it watches.

use crate::mirror::read::{Predicate, Reader, Sources};
use crate::publish::{Before, Event};
use crate::serve::graphql::fault::Answer;
use ::entity::{ChangeKind, profile};
use std::sync::Arc;

/// Which changes a subscriber wants.
pub(super) struct Wanted {
    pub predicate: Option<Predicate>,
    pub kinds: Option<Vec<ChangeKind>>,
    pub reader: Reader,
}

/// What an event is to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A change that it wants.
    Wanted,
    /// The profile passes no more.
    Left,
    /// Nothing.
    Other,
}

impl Wanted {
    /// What an event is to this subscriber.
    pub async fn judge(&self, event: &Event) -> Answer<Verdict> {
        if self.passes_now(event).await? {
            let is_of_kind = self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.change.kind));
            return Ok(if is_of_kind { Verdict::Wanted } else { Verdict::Other });
        }
        Ok(if self.may_have_passed(event).await? { Verdict::Left } else { Verdict::Other })
    }

    async fn passes_now(&self, event: &Event) -> Answer<bool> {
        let Some(predicate) = &self.predicate else { return Ok(true) };
        // Nothing is known of a profile that is not kept, so that no filter can tell it apart.
        let Some(profile) = &event.profile else { return Ok(false) };
        if predicate.needs_database() {
            return Ok(!self.reader.passing_ids(&[profile.id], predicate).await?.is_empty());
        }
        let sources = self.sources_of(profile).await?;
        Ok(predicate.accepts(profile, event.profile_type.as_deref(), &sources))
    }

    /// Whether it passed before the change, as far as that is known: where it is not, it may have.
    async fn may_have_passed(&self, event: &Event) -> Answer<bool> {
        let Some(predicate) = &self.predicate else { return Ok(false) };
        let before = match &event.before {
            Before::Unknown => return Ok(true),
            Before::Row(before) => before,
        };
        let type_now = event.profile.as_ref().and_then(|profile| profile.profile_type_id);
        if before.profile_type_id != type_now {
            return Ok(before.is_known);
        }
        let sources = self.sources_of(before).await?;
        Ok(before.is_known && predicate.may_accept(before, event.profile_type.as_deref(), &sources))
    }

    async fn sources_of(&self, row: &profile::Model) -> Answer<Arc<Sources>> {
        self.reader.source_by_id(row.source_id).await?;
        Ok(self.reader.sources().await?)
    }
}
