//! What a profile was just before each change, so that whoever filters can tell that it left.

use crate::mirror::read::{LogPlace, PastError, ReadError, Reader, undo};
use ::entity::{ChangeKind, Moment, change, profile};
use std::collections::HashMap;
use std::sync::Arc;

/// A profile just before a change.
#[derive(Clone, Debug)]
pub enum Before {
    /// As it was.
    Row(Arc<profile::Model>),
    /// Not known any more: it was erased since, or too much has changed.
    Unknown,
}

/// What the profiles were before each of these changes of one source. The rows may be newer than the changes: what was
/// committed in between is read and undone first.
pub(super) async fn befores(
    reader: &Reader,
    source_id: i32,
    changes: &[change::Model],
    profiles: &HashMap<i64, Arc<profile::Model>>,
) -> Result<Vec<Before>, ReadError> {
    let Some(last) = changes.last() else { return Ok(Vec::new()) };
    let place = LogPlace { source_id, revision: last.revision, at: Moment(0) };
    let ahead: Vec<i64> = profiles.values().filter(|row| row.revision > last.revision).map(|row| row.id).collect();
    let (later, is_complete) = match reader.changes_since(place, &ahead).await {
        Ok(later) => (later, true),
        Err(PastError::Unreadable(error)) => return Err(error),
        Err(_) => (Vec::new(), false),
    };
    let mut states: HashMap<i64, Before> = HashMap::new();
    for (id, row) in profiles {
        let is_certain = is_complete || row.revision <= last.revision;
        states.insert(*id, if is_certain { Before::Row(Arc::clone(row)) } else { Before::Unknown });
    }
    for change in &later {
        step_back(&mut states, change);
    }
    let mut befores: Vec<Before> = changes.iter().rev().map(|change| step_back(&mut states, change)).collect();
    befores.reverse();
    Ok(befores)
}

fn step_back(states: &mut HashMap<i64, Before>, change: &change::Model) -> Before {
    let state = states.entry(change.profile_id).or_insert(Before::Unknown);
    let is_lost = change.is_erased || matches!(change.kind, ChangeKind::Anonymized | ChangeKind::Erased);
    match state {
        _ if is_lost => *state = Before::Unknown,
        Before::Row(row) => undo(Arc::make_mut(row), change),
        Before::Unknown => {}
    }
    state.clone()
}
