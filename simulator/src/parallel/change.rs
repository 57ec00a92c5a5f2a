//! Changes to the organization, each with the webhooks that Parallel would send.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::event::{self, USER};
use super::world::{End, Status};
use super::{AnonymizedReads, ParallelSim, State, seed};
use crate::context::Refusal;
use crate::outbox::Event;

impl ParallelSim {
    /// Creates a profile of a type (id or English name) with values by alias or field id. Returns its id.
    ///
    /// # Errors
    /// No such type or field.
    pub fn create_profile(&self, profile_type: &str, values: &[(&str, Value)]) -> Result<String, Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let world = &mut state.world;
        let kind = world.find_type(profile_type)?;
        let fields = values.iter().map(|(key, value)| Ok((world.find_field(kind, key)?, value.clone())));
        let fields: Vec<(usize, Value)> = fields.collect::<Result<_, Refusal>>()?;
        let id = world.new_id();
        let place = world.create(kind, id.clone(), now);
        for (field, value) in fields {
            world.set_value(place, field, Some(value), now);
        }
        let created =
            event::event(world, "PROFILE_CREATED", place, json!({"userId": USER, "integrationId": null}), now);
        self.announce(created);
        Ok(id)
    }

    /// Creates a profile with values drawn from the world's own generator.
    ///
    /// # Errors
    /// No such type.
    pub fn create_random_profile(&self, profile_type: &str) -> Result<String, Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let world = &mut state.world;
        let kind = world.find_type(profile_type)?;
        let id = world.new_id();
        let place = world.create(kind, id.clone(), now);
        for (field, value) in seed::values(kind, &mut world.rng, place) {
            world.set_value(place, field, Some(value), now);
        }
        let created =
            event::event(world, "PROFILE_CREATED", place, json!({"userId": USER, "integrationId": null}), now);
        self.announce(created);
        Ok(id)
    }

    /// Sets one field by alias or id, or empties it; says whether the value changed.
    ///
    /// # Errors
    /// No such profile or field.
    pub fn set_field(&self, profile: &str, field: &str, value: Option<Value>) -> Result<bool, Refusal> {
        self.set_fields(profile, &[(field, value)])
    }

    /// Sets several fields at once: an event for each changed one, then one `PROFILE_UPDATED`.
    ///
    /// # Errors
    /// No such profile or field.
    pub fn set_fields(&self, profile: &str, values: &[(&str, Option<Value>)]) -> Result<bool, Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let world = &mut state.world;
        let place = world.living(profile)?;
        let kind = world.profile_mut(profile)?.kind;
        let mut changed = Vec::new();
        for (key, value) in values {
            let field = world.find_field(kind, key)?;
            if world.set_value(place, field, value.clone(), now) {
                changed.push(field);
            }
        }
        let mut events: Vec<Event> =
            changed.iter().filter_map(|field| event::field_changed(world, place, *field, now)).collect();
        if !changed.is_empty() {
            events.extend(event::updated(world, place, &changed, now));
        }
        self.announce(events);
        Ok(!changed.is_empty())
    }

    /// Changes when a field's value expires.
    ///
    /// # Errors
    /// No such profile or field, or no value in it.
    pub fn set_expiry(&self, profile: &str, field: &str, expires_at: Option<NaiveDate>) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let world = &mut state.world;
        let place = world.living(profile)?;
        let kind = world.profile_mut(profile)?.kind;
        let field = world.find_field(kind, field)?;
        let held =
            world.profile_mut(profile)?.values.get_mut(&field).ok_or_else(|| Refusal::because("Field has no value"))?;
        held.expires_at = expires_at;
        let definition = &world.types[kind].fields[field];
        let data = json!({
            "userId": USER, "integrationId": null, "profileTypeFieldId": definition.id, "expiryDate": expires_at,
            "alias": definition.alias,
        });
        let events = [
            event::event(world, "PROFILE_FIELD_EXPIRY_UPDATED", place, data, now),
            event::updated(world, place, &[field], now),
        ];
        self.announce(events.into_iter().flatten());
        Ok(())
    }

    /// Closes a profile; a scheduled deletion is cancelled.
    ///
    /// # Errors
    /// No such profile, or closed already.
    pub fn close(&self, profile: &str) -> Result<(), Refusal> {
        self.change_status(profile, Status::Closed, None, "PROFILE_CLOSED")
    }

    /// Opens a closed or scheduled profile again.
    ///
    /// # Errors
    /// No such profile, or open already.
    pub fn reopen(&self, profile: &str) -> Result<(), Refusal> {
        self.change_status(profile, Status::Open, None, "PROFILE_REOPENED")
    }

    /// Schedules a profile's deletion for a date.
    ///
    /// # Errors
    /// No such profile, or scheduled already.
    pub fn schedule_for_deletion(&self, profile: &str, at: DateTime<Utc>) -> Result<(), Refusal> {
        self.change_status(profile, Status::DeletionScheduled, Some(at), "PROFILE_SCHEDULED_FOR_DELETION")
    }

    /// Gives a profile a status that nobody has heard of, of which an event of a type as new tells. It is read by id, and
    /// is in no list of another status.
    ///
    /// # Errors
    /// No such profile, or in this status already.
    pub fn set_unheard_status(&self, profile: &str, status: &'static str, event_type: &str) -> Result<(), Refusal> {
        self.change_status(profile, Status::Unheard(status), None, event_type)
    }

    /// Takes a profile's personal data away for good.
    ///
    /// # Errors
    /// No such profile.
    pub fn anonymize(&self, profile: &str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let place = state.world.living(profile)?;
        let anonymized = event::event(&mut state.world, "PROFILE_ANONYMIZED", place, json!({}), now);
        let mut events: Vec<Event> = anonymized.into_iter().collect();
        events.extend(state.end(place, End::Anonymized, now));
        self.announce(events);
        Ok(())
    }

    /// Makes a profile disappear: no event says so.
    ///
    /// # Errors
    /// No such profile.
    pub fn vanish(&self, profile: &str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let place = state.world.living(profile)?;
        let events = state.end(place, End::Vanished, now);
        self.announce(events);
        Ok(())
    }

    /// Links two profiles by a type (alias, id or English name): `left` shows it with `inverse: false`. Returns its id.
    ///
    /// # Errors
    /// No such profile or type, or both ends are one.
    pub fn create_relationship(&self, relationship_type: &str, left: &str, right: &str) -> Result<String, Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let world = &mut state.world;
        let fits = |known: &super::world::RelationshipType| {
            known.alias == Some(relationship_type)
                || known.id == relationship_type
                || known.name[0] == relationship_type
        };
        let kind = world.relationship_types.iter().position(fits);
        let kind = kind.ok_or_else(|| Refusal::because("Relationship type not found"))?;
        let (left, right) = (world.living(left)?, world.living(right)?);
        if left == right {
            return Err(Refusal::because("A profile cannot be related to itself"));
        }
        let id = world.new_id();
        world.link(id.clone(), kind, left, right);
        let events = state.relationship_events("PROFILE_RELATIONSHIP_CREATED", &id, kind, &[left, right], None, now);
        self.announce(events);
        Ok(id)
    }

    /// Removes a relationship.
    ///
    /// # Errors
    /// No such relationship.
    pub fn remove_relationship(&self, relationship: &str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let gone = state.world.unlink(relationship).ok_or_else(|| Refusal::because("Relationship not found"))?;
        let ends = [gone.left, gone.right];
        let reason = Some("REMOVED_BY_USER");
        let events =
            state.relationship_events("PROFILE_RELATIONSHIP_REMOVED", relationship, gone.kind, &ends, reason, now);
        self.announce(events);
        Ok(())
    }

    /// Sends an event of a type that nobody has heard of about a profile, which does not change.
    ///
    /// # Errors
    /// No such profile.
    pub fn emit_unknown_event(&self, profile: &str, event_type: &str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let place = state.world.living(profile)?;
        let event = event::event(&mut state.world, event_type, place, json!({"userId": USER, "new": ["thing"]}), now);
        self.announce(event);
        Ok(())
    }

    fn change_status(
        &self,
        profile: &str,
        to: Status,
        deletion_at: Option<DateTime<Utc>>,
        kind: &str,
    ) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let place = state.world.living(profile)?;
        let found = state.world.profile_mut(profile)?;
        if found.status == to {
            return Err(Refusal::because(format!("Profile is already {}", to.wire_name())));
        }
        found.status = to;
        found.deletion_at = deletion_at;
        found.closed_at = (to == Status::Closed).then_some(now);
        found.updated_at = now;
        let event = event::event(&mut state.world, kind, place, json!({"userId": USER}), now);
        self.announce(event);
        Ok(())
    }

    fn announce(&self, events: impl IntoIterator<Item = Event>) {
        if !self.muted {
            events.into_iter().for_each(|event| self.context.outbox.push(event));
        }
    }
}

impl State {
    /// Ends a profile; the events are those that the other ends of its relationships hear of.
    fn end(&mut self, place: u64, end: End, now: DateTime<Utc>) -> Vec<Event> {
        let still_listed = end == End::Anonymized && self.switches.anonymized_reads == AnonymizedReads::Emptied;
        let gone = self.world.end(place, end, still_listed);
        if !self.switches.relationship_events_on_end {
            return Vec::new();
        }
        let mut events = Vec::new();
        for (id, relationship) in gone {
            let other = if relationship.left == place { relationship.right } else { relationship.left };
            let kind = "PROFILE_RELATIONSHIP_REMOVED";
            events.extend(self.relationship_events(
                kind,
                &id,
                relationship.kind,
                &[other],
                Some("PROFILE_DELETED"),
                now,
            ));
        }
        events
    }

    fn relationship_events(
        &mut self,
        event_type: &str,
        id: &str,
        kind: usize,
        ends: &[u64],
        reason: Option<&str>,
        now: DateTime<Utc>,
    ) -> Vec<Event> {
        let data = event::relationship_data(&self.world, id, kind, reason);
        ends.iter().filter_map(|place| event::event(&mut self.world, event_type, *place, data.clone(), now)).collect()
    }
}
