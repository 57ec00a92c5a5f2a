//! Takes relationships: told by the provider from either end, or derived from a profile's fields.

use super::batch::{Batch, Handle, Judged, Origin, RelationshipWork};
use super::content::attribute;
use super::told::{Values, named_row};
use entity::{ChangeKind, Decision, Moment, RecordKind, Status, relationship};
use provider::{DeliveryKind, Reference, RelationshipSeen, Scope};
use serde_json::Value;
use std::collections::HashSet;

/// Takes the relationships that a profile's state shows. Those that a complete list leaves out are gone,
/// unless something newer has told of them.
pub(super) fn observe(
    batch: &mut Batch<'_>,
    origin: &Origin,
    profile: Handle,
    scope: Scope,
    seen: Vec<RelationshipSeen>,
) {
    let id = batch.get(profile).row.external_id.clone();
    let mut has_doubt = false;
    let named: HashSet<String> = seen.iter().map(|seen| seen.external_id.clone()).collect();
    for seen in seen {
        has_doubt |= !observe_one(batch, origin, seen);
    }
    if scope == Scope::Complete {
        let missing: Vec<String> = batch
            .relationships
            .values()
            .filter(|work| !work.row.is_derived && work.row.removed_at.is_none())
            .filter(|work| work.from == profile || work.to == profile)
            .filter(|work| !named.contains(&work.row.external_id))
            .map(|work| work.row.external_id.clone())
            .collect();
        for missing in missing {
            let is_later = batch.relationships.get(&missing).is_some_and(|work| is_later(origin, &work.row));
            if is_later {
                remove(batch, origin, &missing, Values::Told);
            } else {
                has_doubt = true;
            }
        }
    }
    if has_doubt {
        batch.wish_profile(&id, origin, "its relationships were told while this was in flight");
    }
}

/// A request that started after the stored news had arrived shows a later state.
fn is_later(origin: &Origin, row: &relationship::Model) -> bool {
    origin.started_at.is_none_or(|started_at| started_at >= row.position)
}

/// Whether another delivery told a profile's state after this one's request had started.
fn is_told_since(batch: &Batch<'_>, origin: &Origin, end: Handle) -> bool {
    let position = batch.get(end).row.position;
    position != origin.position && origin.started_at.is_some_and(|started_at| position > started_at)
}

/// Takes one relationship; false where the stored news is not certainly older.
fn observe_one(batch: &mut Batch<'_>, origin: &Origin, seen: RelationshipSeen) -> bool {
    let Some(relationship_type_id) = batch.catalog.relationship_type(&seen.type_external_id).map(|row| row.id) else {
        return true;
    };
    let (from, to) = (batch.profile(&seen.from), batch.profile(&seen.to));
    // What upstream may still tell about who is erased is nobody's to see.
    if [from, to].into_iter().any(|end| batch.get(end).row.status == Status::Anonymized) {
        let stood = batch.relationships.get(&seen.external_id);
        if stood.is_some_and(|work| (work.from, work.to) != (from, to) && is_later(origin, &work.row)) {
            remove(batch, origin, &seen.external_id, Values::Untold);
        }
        return true;
    }
    if let Some(work) = batch.relationships.get_mut(&seen.external_id) {
        let is_same = work.from == from && work.to == to && work.row.relationship_type_id == relationship_type_id;
        if work.row.removed_at.is_none() && is_same {
            if work.row.position < origin.position && is_later(origin, &work.row) {
                work.row.position = origin.position;
                work.is_dirty = true;
            }
            return true;
        }
        if !is_later(origin, &work.row) {
            return false;
        }
    }
    // Whoever told of an end after this request had started did not tell of the relationship, or it would stand.
    if [from, to].into_iter().any(|end| is_told_since(batch, origin, end)) {
        return false;
    }
    for (end, id) in [(from, &seen.from), (to, &seen.to)] {
        if !batch.get(end).row.is_known && origin.kind != DeliveryKind::Page {
            batch.wish_profile(id, origin, "named by a relationship");
        }
    }
    // Under its id stood another one: that is gone, and its ends are told.
    remove(batch, origin, &seen.external_id, Values::Told);
    let row = relationship::Model {
        id: 0,
        source_id: batch.source_id,
        external_id: seen.external_id.clone(),
        relationship_type_id,
        from_profile_id: 0,
        to_profile_id: 0,
        is_derived: false,
        created_at: seen.created_at.map(Moment::from),
        removed_at: None,
        position: origin.position,
    };
    create(batch, origin, RelationshipWork { row, from, to, is_dirty: true });
    true
}

/// Makes the derived relationships of a profile say what its reference fields say.
pub(super) fn follow_fields(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, references: Vec<Reference>) {
    let owner = batch.get(profile).row.external_id.clone();
    let wanted: Vec<(String, Reference)> =
        references.into_iter().map(|reference| (format!("fk:{}:{owner}", reference.field), reference)).collect();
    let gone: Vec<String> = batch
        .relationships
        .values()
        .filter(|work| work.row.is_derived && work.from == profile && work.row.removed_at.is_none())
        .filter(|work| !wanted.iter().any(|(id, _)| *id == work.row.external_id))
        .map(|work| work.row.external_id.clone())
        .collect();
    for id in gone {
        remove(batch, origin, &id, Values::Told);
    }
    for (id, reference) in wanted {
        let to = batch.profile(&reference.to);
        let is_there = batch
            .relationships
            .get(&id)
            .is_some_and(|work| work.to == to && work.from == profile && work.row.removed_at.is_none());
        let Some(relationship_type_id) = batch.catalog.relationship_type(&reference.field).map(|row| row.id) else {
            continue;
        };
        if is_there {
            continue;
        }
        remove(batch, origin, &id, Values::Told);
        if !batch.get(to).row.is_known && origin.kind != DeliveryKind::Page {
            batch.wish_profile(&reference.to, origin, "named by a reference field");
        }
        let row = relationship::Model {
            id: 0,
            source_id: batch.source_id,
            external_id: id,
            relationship_type_id,
            from_profile_id: 0,
            to_profile_id: 0,
            is_derived: true,
            created_at: None,
            removed_at: None,
            position: origin.position,
        };
        create(batch, origin, RelationshipWork { row, from: profile, to, is_dirty: true });
    }
}

fn create(batch: &mut Batch<'_>, origin: &Origin, work: RelationshipWork) {
    let id = work.row.external_id.clone();
    let (from, to) = (work.from, work.to);
    let after = shown(batch, &work);
    let changed = vec![
        named_row("type", (None, Some(work.row.relationship_type_id)), |id| batch.catalog.relationship_type_name(id)),
        attribute("from", Value::Null, after.0.into()),
        attribute("to", Value::Null, after.1.into()),
    ];
    batch.relationships.insert(id.clone(), work);
    let concerned = concerned(batch, from, to);
    batch.change(concerned, ChangeKind::RelationshipCreated, (RecordKind::Relationship, &id), changed, origin);
}

/// External ids of both ends.
fn shown(batch: &Batch<'_>, work: &RelationshipWork) -> (String, String) {
    (batch.get(work.from).row.external_id.clone(), batch.get(work.to).row.external_id.clone())
}

/// The profile that a change of a relationship is told of: the left end, or the right while the left
/// one is still a placeholder.
fn concerned(batch: &Batch<'_>, from: Handle, to: Handle) -> Handle {
    if batch.get(from).row.is_known { from } else { to }
}

/// Removes a relationship, where it stands.
fn remove(batch: &mut Batch<'_>, origin: &Origin, id: &str, values: Values) {
    let now = batch.now;
    let Some(work) = batch.relationships.get(id).filter(|work| work.row.removed_at.is_none()) else { return };
    let changed = match values {
        Values::Told => {
            let before = shown(batch, work);
            let of_type = (Some(work.row.relationship_type_id), None);
            vec![
                named_row("type", of_type, |id| batch.catalog.relationship_type_name(id)),
                attribute("from", before.0.into(), Value::Null),
                attribute("to", before.1.into(), Value::Null),
            ]
        }
        Values::Untold => Vec::new(),
    };
    let Some(work) = batch.relationships.get_mut(id) else { return };
    work.row.removed_at = Some(now);
    work.row.position = origin.position;
    work.is_dirty = true;
    let (from, to) = (work.from, work.to);
    let concerned = concerned(batch, from, to);
    batch.change(concerned, ChangeKind::RelationshipRemoved, (RecordKind::Relationship, id), changed, origin);
}

/// Takes the news that a relationship is gone, by its own id.
pub(super) fn observe_gone(batch: &mut Batch<'_>, origin: &Origin, id: &str) {
    let known = batch.relationships.get(id).map(|work| (work.row.removed_at.is_none(), work.from));
    let (decision, rule) = match known {
        Some((true, _)) => {
            remove(batch, origin, id, Values::Told);
            (Decision::Applied, "removed upstream")
        }
        Some((false, _)) => (Decision::Unchanged, "already removed"),
        None => (Decision::Unchanged, "never seen"),
    };
    let judged = Judged {
        record_kind: RecordKind::Relationship,
        record_id: id,
        profile: known.map(|(_, from)| from),
        decision,
        rule,
        observed: None,
        stored: None,
    };
    batch.judge(origin, &judged);
}

/// Removes what hangs on a profile that is gone. A reference field of another profile still names it.
/// Returns how many.
pub(super) fn remove_all(batch: &mut Batch<'_>, origin: &Origin, profile: Handle, values: Values) -> usize {
    let going: Vec<String> = batch
        .relationships
        .values()
        .filter(|work| work.row.removed_at.is_none())
        .filter(|work| work.from == profile || (work.to == profile && !work.row.is_derived))
        .map(|work| work.row.external_id.clone())
        .collect();
    for id in &going {
        remove(batch, origin, id, values);
    }
    going.len()
}
