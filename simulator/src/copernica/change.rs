//! Changes to the account, each with the webhooks that Copernica would send.

use super::event::{self, Parameters};
use super::schema::{FieldKind, Unsubscribe};
use super::world::InterestWrite;
use super::{CopernicaSim, DeleteBehaviour, State};
use crate::context::Refusal;

fn owned(fields: &[(&str, &str)]) -> Parameters {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl CopernicaSim {
    /// Creates a profile; unknown fields are ignored and bad values made to fit. Returns its id.
    ///
    /// # Errors
    /// No such database.
    pub fn create_profile(&self, database: &str, fields: &[(&str, &str)]) -> Result<String, Refusal> {
        self.create(database, &owned(fields), None)
    }

    /// Changes fields of a profile; says whether a value really changed.
    ///
    /// # Errors
    /// No such profile.
    pub fn update_profile(&self, profile: &str, fields: &[(&str, &str)]) -> Result<bool, Refusal> {
        self.update(profile, &owned(fields), None)
    }

    /// Makes exactly these interests active; says whether anything changed.
    ///
    /// # Errors
    /// No such profile.
    pub fn set_interests(&self, profile: &str, interests: &[&str]) -> Result<bool, Refusal> {
        let names = interests.iter().map(|name| (*name).to_owned()).collect();
        self.update(profile, &Vec::new(), Some(&InterestWrite::Replace(names)))
    }

    /// Points a foreign key field at another profile, or at none.
    ///
    /// # Errors
    /// No such profile.
    pub fn set_foreign_key(&self, profile: &str, field: &str, to: Option<&str>) -> Result<bool, Refusal> {
        self.update_profile(profile, &[(field, to.unwrap_or("0"))])
    }

    /// Soft-deletes a profile and its subprofiles.
    ///
    /// # Errors
    /// No such profile, or removed already.
    pub fn delete_profile(&self, profile: &str) -> Result<(), Refusal> {
        self.delete(profile, false)
    }

    /// Deletes a profile for good: REST does not know it afterwards.
    ///
    /// # Errors
    /// No such profile, or removed already.
    pub fn delete_profile_completely(&self, profile: &str) -> Result<(), Refusal> {
        self.delete(profile, true)
    }

    /// Executes the unsubscription that its database is configured for.
    ///
    /// # Errors
    /// No such profile.
    pub fn unsubscribe(&self, profile: &str) -> Result<(), Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let (id, found) = state.world.profile(profile)?;
        let database = found.database;
        state.unsubscriptions += 1;
        let mut events = vec![event::unsubscribed(database, id, state.unsubscriptions, now)];
        events.extend(state.execute_unsubscription(id, database, now));
        self.announce(events);
        Ok(())
    }

    /// Configures what an unsubscription does in a database.
    ///
    /// # Errors
    /// No such database.
    pub fn set_unsubscribe(&self, database: &str, behaviour: Unsubscribe) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let id = state.world.database(database)?.id;
        if let Some(database) = state.world.databases.get_mut(&id) {
            database.unsubscribe = behaviour;
        }
        Ok(())
    }

    /// Creates a subprofile in a collection (by name or id) of the profile's database. Returns its id.
    ///
    /// # Errors
    /// No such profile or collection.
    pub fn create_subprofile(
        &self,
        profile: &str,
        collection: &str,
        fields: &[(&str, &str)],
    ) -> Result<String, Refusal> {
        self.create_child(profile, collection, &owned(fields))
    }

    /// Changes fields of a subprofile; says whether a value really changed.
    ///
    /// # Errors
    /// No such subprofile.
    pub fn update_subprofile(&self, subprofile: &str, fields: &[(&str, &str)]) -> Result<bool, Refusal> {
        self.update_child(subprofile, &owned(fields))
    }

    /// Soft-deletes a subprofile.
    ///
    /// # Errors
    /// No such subprofile, or removed already.
    pub fn delete_subprofile(&self, subprofile: &str) -> Result<(), Refusal> {
        self.delete_child(subprofile, false)
    }

    /// Adds a field to a database; no webhook tells of it. Returns its id.
    ///
    /// # Errors
    /// No such database, or a field of that name is there.
    pub fn add_field(&self, database: &str, name: &str, kind: FieldKind) -> Result<String, Refusal> {
        self.state.lock().world.add_field(database, name, kind).map(|id| id.to_string())
    }

    pub(super) fn create(
        &self,
        database: &str,
        fields: &Parameters,
        interests: Option<&InterestWrite>,
    ) -> Result<String, Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let id = state.world.create_profile(database, fields, now)?;
        let mut parameters = fields.clone();
        if let Some(interests) = interests {
            state.world.set_interests(id, interests, None);
            parameters.extend(interest_parameters(interests));
        }
        self.announce(event::profile(&state.world, &state.switches, "create", id, &parameters, now));
        Ok(id.to_string())
    }

    pub(super) fn update(
        &self,
        profile: &str,
        fields: &Parameters,
        interests: Option<&InterestWrite>,
    ) -> Result<bool, Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let (id, _) = state.world.profile(profile)?;
        let mut changed = state.world.update_profile(id, fields, now);
        let mut parameters = fields.clone();
        if let Some(interests) = interests {
            let bump = state.switches.interest_change_bumps_modified.then_some(now);
            changed |= state.world.set_interests(id, interests, bump);
            parameters.extend(interest_parameters(interests));
        }
        if changed || state.switches.noop_update_webhook {
            self.announce(event::profile(&state.world, &state.switches, "update", id, &parameters, now));
        }
        Ok(changed)
    }

    pub(super) fn delete(&self, profile: &str, completely: bool) -> Result<(), Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let (id, found) = state.world.profile(profile)?;
        let database = found.database;
        match state.switches.delete_behaviour {
            DeleteBehaviour::Nothing => {}
            DeleteBehaviour::Unsubscribe => {
                let events = state.execute_unsubscription(id, database, now);
                self.announce(events);
            }
            DeleteBehaviour::Delete => {
                let removed = state.world.delete_profile(id, completely, now)?;
                self.announce(event::profile_deleted(&state.world, &state.switches, id, &removed, now));
            }
        }
        Ok(())
    }

    pub(super) fn create_child(&self, profile: &str, collection: &str, fields: &Parameters) -> Result<String, Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let (profile, found) = state.world.profile(profile)?;
        let collection = state.world.collection(Some(found.database), collection)?.id;
        let id = state.world.create_subprofile(profile, collection, fields, now)?;
        self.announce(event::subprofile(&state.world, &state.switches, "create", id, fields, now));
        Ok(id.to_string())
    }

    pub(super) fn update_child(&self, subprofile: &str, fields: &Parameters) -> Result<bool, Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let (id, _) = state.world.subprofile(subprofile)?;
        let changed = state.world.update_subprofile(id, fields, now);
        if changed || state.switches.noop_update_webhook {
            self.announce(event::subprofile(&state.world, &state.switches, "update", id, fields, now));
        }
        Ok(changed)
    }

    pub(super) fn delete_child(&self, subprofile: &str, completely: bool) -> Result<(), Refusal> {
        let now = self.now();
        let mut state = self.state.lock();
        let (id, _) = state.world.subprofile(subprofile)?;
        let before = state.world.delete_subprofile(id, completely, now)?;
        self.announce(event::subprofile_deleted(&state.world, &state.switches, id, &before, now));
        Ok(())
    }
}

impl State {
    /// Does what the database is configured for, and returns the webhooks about the effect.
    fn execute_unsubscription(&mut self, id: u64, database: u64, now: i64) -> Vec<crate::outbox::Event> {
        let behaviour = self.world.databases.get(&database).map(|database| database.unsubscribe.clone());
        match behaviour {
            Some(Unsubscribe::Remove) => match self.world.delete_profile(id, false, now) {
                Ok(removed) => event::profile_deleted(&self.world, &self.switches, id, &removed, now),
                Err(_) => Vec::new(),
            },
            Some(Unsubscribe::Update(fields)) => {
                let changed = self.world.update_profile(id, &fields, now);
                let update =
                    changed.then(|| event::profile(&self.world, &self.switches, "update", id, &fields, now)).flatten();
                update.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

fn interest_parameters(interests: &InterestWrite) -> Parameters {
    match interests {
        InterestWrite::Replace(names) => names.iter().map(|name| (name.clone(), "1".to_owned())).collect(),
        InterestWrite::Merge(names) => {
            names.iter().map(|(name, on)| (name.clone(), u8::from(*on).to_string())).collect()
        }
    }
}
