//! Changes to the app, each with the webhooks that GetProfile would send.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::seed;
use super::world::Progress;
use super::{GetProfileSim, State, TENANT};
use crate::clock::iso_auto;
use crate::context::{ProviderKind, Refusal};
use crate::outbox::Event;

impl GetProfileSim {
    /// Submits sections (`{"core_info": {"name": …}}`) under an id, creating the profile where there is none, as REST's POST
    /// does: objects are merged, lists replaced, null takes away. They show once processing is done, see [`settle`](Self::settle).
    pub fn submit(&self, profile: &str, sections: &Value) {
        let sections = sections.as_object().cloned().unwrap_or_default();
        self.submit_sections(profile, &sections);
    }

    /// Creates a profile and waits for nothing. The id may be that of a deleted one.
    ///
    /// # Errors
    /// The id is in use.
    pub fn create(&self, profile: &str, sections: &Value) -> Result<(), Refusal> {
        if self.state.lock().world.profiles.contains_key(profile) {
            return Err(Refusal::because("Profile exists"));
        }
        self.submit(profile, sections);
        Ok(())
    }

    /// Updates a profile that is there.
    ///
    /// # Errors
    /// No such profile.
    pub fn update(&self, profile: &str, sections: &Value) -> Result<(), Refusal> {
        self.state.lock().world.get(profile)?;
        self.submit(profile, sections);
        Ok(())
    }

    /// Creates a profile with content drawn from the world's own generator; returns its id.
    pub fn create_random(&self) -> String {
        let id = {
            let mut state = self.state.lock();
            let number = 1_000_000 + state.world.profiles.len() + state.world.deleted.len();
            seed::new_id(&mut state.rng, number)
        };
        self.create_randomly_as(&id);
        id
    }

    /// The same under an id that is not in use, perhaps that of a deleted profile.
    pub(crate) fn create_randomly_as(&self, id: &str) {
        let now = self.context.clock.now();
        let sections = seed::sections(&mut self.state.lock().rng, now);
        self.submit_sections(id, &sections);
    }

    /// Submits something new about a profile, drawn from the world's own generator.
    ///
    /// # Errors
    /// No such profile.
    pub fn update_randomly(&self, profile: &str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let sections = {
            let mut state = self.state.lock();
            state.world.get(profile)?;
            seed::news(&mut state.rng, now)
        };
        self.submit_sections(profile, &sections);
        Ok(())
    }

    /// Deletes a profile: no event says so.
    ///
    /// # Errors
    /// No such profile.
    pub fn delete(&self, profile: &str) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        state.busy.retain(|known| known != profile);
        state.world.delete(profile)
    }

    /// Takes one profile one step nearer to ready; None where nothing is under way.
    pub fn step(&self, profile: &str) -> Option<Progress> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let progress = state.world.step(profile, now)?;
        if progress == Progress::Ready {
            state.busy.retain(|known| known != profile);
        }
        if progress == Progress::Ready || state.switches.processing_events {
            self.announce(&mut state, profile, progress, now);
        }
        Some(progress)
    }

    /// Takes every profile under way one step nearer to ready.
    pub fn step_all(&self) {
        let busy = self.state.lock().busy.clone();
        for profile in busy {
            self.step(&profile);
        }
    }

    /// Finishes all processing.
    pub fn settle(&self) {
        self.step_all();
        self.step_all();
    }

    /// Gives a profile a status that nobody has heard of, and tells of it. What it holds stays.
    ///
    /// # Errors
    /// No such profile.
    pub fn set_unheard_status(&self, profile: &str, status: &'static str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let found = state.world.profiles.get_mut(profile).ok_or_else(|| Refusal::because("Profile not found"))?;
        found.progress = Progress::Unheard(status);
        found.last_updated = now;
        self.announce(&mut state, profile, Progress::Unheard(status), now);
        Ok(())
    }

    /// Sends a second `profile.updated` about a profile that did not change.
    ///
    /// # Errors
    /// No such profile.
    pub fn emit_again(&self, profile: &str) -> Result<(), Refusal> {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        let progress = state.world.get(profile)?.progress;
        self.announce(&mut state, profile, progress, now);
        Ok(())
    }

    pub(super) fn submit_sections(&self, profile: &str, sections: &Map<String, Value>) {
        let now = self.context.clock.now();
        let mut state = self.state.lock();
        state.world.submit(profile, sections, now);
        state.busy.retain(|known| known != profile);
        state.busy.push(profile.to_owned());
        if state.switches.processing_events {
            self.announce(&mut state, profile, Progress::Processing, now);
        }
    }

    fn announce(&self, state: &mut State, profile: &str, progress: Progress, now: DateTime<Utc>) {
        if self.muted {
            return;
        }
        state.events += 1;
        let body = json!({
            "id": format!("evt_{:010}", state.events), "event": "profile.updated", "tenant_id": TENANT,
            "data": {"profile_id": profile, "status": progress.wire_name()}, "created_at": iso_auto(now),
            "webhook_id": "webhook_12345",
        });
        self.context.outbox.push(Event {
            provider: ProviderKind::GetProfile,
            event: "profile.updated".to_owned(),
            profile: profile.to_owned(),
            body: body.to_string().into_bytes(),
            scope: Vec::new(),
        });
    }
}
