//! Parallel: people, companies and matters with relationships and a lifecycle; thin Ed25519-signed JSON webhooks.
//!
//! In come mutations and REST calls, out go answers and webhooks in the shared queue: the field events of a change, then one
//! `PROFILE_UPDATED`; a pair of relationship events, one a profile, each with an id of its own. No event says *deleted*.
//! What the documentation leaves open is a field of [`ParallelSwitches`].

mod change;
mod event;
mod seed;
mod skin;
mod truth;
mod view;
mod world;

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::context::{Context, ProviderKind};
use crate::guarded::Guarded;
use crate::sign::{BadKey, ParallelKeys, ParallelScheme};
use crate::truth::{Gone, Truth};
use world::World;

/// What a read of an anonymized profile answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnonymizedReads {
    /// As if it were absent.
    #[default]
    Absent,
    /// 403.
    Forbidden,
    /// 200 with nothing in it, `CLOSED`, and still listed.
    Emptied,
    /// 200 with nothing in it and the status `ANONYMIZED`, in no list.
    Told,
}

/// Everything about Parallel that its documentation leaves open, and its faults of configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParallelSwitches {
    /// Which signature headers are sent.
    pub scheme: ParallelScheme,
    /// The keys that sign, out of 0 to 4; empty sends no signature.
    pub keys: Vec<usize>,
    /// An absent profile is answered with 403 and not with 404.
    pub absent_is_403: bool,
    /// What an anonymized profile looks like.
    pub anonymized_reads: AnonymizedReads,
    /// A list without `status` shows open profiles only.
    pub lists_open_only: bool,
    /// Fields without an alias leave the key out, where the default is `"alias": null`.
    pub null_alias_is_absent: bool,
    /// The key under which the object carries the date of a scheduled deletion; None leaves the date out.
    pub deletion_date_key: Option<&'static str>,
    /// Ending a profile sends `PROFILE_RELATIONSHIP_REMOVED` to the other ends.
    pub relationship_events_on_end: bool,
    /// Every other list request starts one row late: rows shift under the pager.
    pub shifting_pages: bool,
    /// More than 100 requests a minute are answered with 429.
    pub rate_limited: bool,
    /// The most rows on one page of a list; more are asked for in vain.
    pub most_rows: usize,
}

impl Default for ParallelSwitches {
    fn default() -> Self {
        Self {
            scheme: ParallelScheme::Both,
            keys: vec![0],
            absent_is_403: false,
            anonymized_reads: AnonymizedReads::Absent,
            lists_open_only: false,
            null_alias_is_absent: false,
            deletion_date_key: Some("deletionScheduledAt"),
            relationship_events_on_end: false,
            shifting_pages: false,
            rate_limited: false,
            most_rows: 100,
        }
    }
}

const API_KEY: &str = "parallel-simulator-api-key";

#[derive(Debug)]
struct State {
    world: World,
    switches: ParallelSwitches,
    window: Instant,
    used: u32,
    lists: u64,
}

/// The Parallel organization of a simulator. Clones share it.
#[derive(Debug, Clone)]
pub struct ParallelSim {
    context: Arc<Context>,
    keys: Arc<ParallelKeys>,
    state: Arc<Guarded<State>>,
    muted: bool,
}

impl ParallelSim {
    pub(crate) fn generate(context: Arc<Context>, seed: u64, profiles: usize) -> Result<Self, BadKey> {
        let world = seed::generate(seed, profiles, context.clock.now());
        let state = State { world, switches: ParallelSwitches::default(), window: Instant::now(), used: 0, lists: 0 };
        Ok(Self { context, keys: Arc::new(ParallelKeys::load()?), state: Arc::new(Guarded::new(state)), muted: false })
    }

    /// A handle whose changes happen and lose their webhooks.
    #[must_use]
    pub fn silently(&self) -> Self {
        Self { muted: true, ..self.clone() }
    }

    /// The base of the REST API.
    pub fn base_url(&self) -> String {
        format!("{}/parallel/api/v1", self.context.origin)
    }

    /// The API key.
    pub fn token(&self) -> String {
        API_KEY.to_owned()
    }

    /// The public keys of the subscription as its dashboard shows them: base64 of the SubjectPublicKeyInfo.
    pub fn public_keys(&self) -> Vec<String> {
        let all = self.keys.public_keys(ParallelKeys::MOST);
        self.state.lock().switches.keys.iter().filter_map(|at| all.get(*at).cloned()).collect()
    }

    /// Changes the switches.
    pub fn configure(&self, change: impl FnOnce(&mut ParallelSwitches)) {
        change(&mut self.state.lock().switches);
    }

    /// Answers the next `reads` reads of this profile by id as it is now, whatever changes.
    pub fn freeze_reads(&self, profile: &str, reads: u32) {
        let answer = {
            let state = self.state.lock();
            let found = state.world.living(profile).ok().and_then(|place| state.world.profiles.get(&place));
            found.map(|found| view::profile(&state.world, &state.switches, found, view::Include::everything()))
        };
        if let Some(answer) = answer {
            self.context.faults(ProviderKind::Parallel).freeze(profile, reads, answer);
        }
    }

    /// (id, English name) of the profile types: individual, legal entity, matter.
    pub fn profile_types(&self) -> Vec<(String, String)> {
        self.state.lock().world.types.iter().map(|kind| (kind.id.clone(), kind.name[0].to_owned())).collect()
    }

    /// Ids of the profiles of a type (by id or English name) that have not ended, in order of creation.
    pub fn profile_ids(&self, profile_type: &str) -> Vec<String> {
        let state = self.state.lock();
        let Ok(kind) = state.world.find_type(profile_type) else { return Vec::new() };
        let living = state.world.profiles.values().filter(|profile| profile.kind == kind && profile.end.is_none());
        living.map(|profile| profile.id.clone()).collect()
    }

    /// Ids of a type's fields that have no alias.
    pub fn fields_without_alias(&self, profile_type: &str) -> Vec<String> {
        let state = self.state.lock();
        let Ok(kind) = state.world.find_type(profile_type) else { return Vec::new() };
        state.world.types[kind]
            .fields
            .iter()
            .filter(|field| field.alias.is_none())
            .map(|field| field.id.clone())
            .collect()
    }

    /// (id, alias) of the relationship types.
    pub fn relationship_types(&self) -> Vec<(String, Option<String>)> {
        let state = self.state.lock();
        state.world.relationship_types.iter().map(|kind| (kind.id.clone(), kind.alias.map(str::to_owned))).collect()
    }

    /// Ids of the relationships, in their own order.
    pub fn relationship_ids(&self) -> Vec<String> {
        self.state.lock().world.relationships.keys().cloned().collect()
    }

    /// A profile that has not ended near a draw: (id, name, place of its type).
    pub(crate) fn draw_profile(&self, draw: f64) -> Option<(String, String, usize)> {
        let state = self.state.lock();
        let from = (state.world.next_place as f64 * draw) as u64;
        let profile =
            state.world.profiles.range(from..).map(|(_, profile)| profile).find(|profile| profile.end.is_none())?;
        Some((profile.id.clone(), state.world.name(profile), profile.kind))
    }

    /// The name of a profile that has not ended, for people.
    pub(crate) fn name_of(&self, profile: &str) -> Option<String> {
        let state = self.state.lock();
        let place = state.world.living(profile).ok()?;
        state.world.profiles.get(&place).map(|profile| state.world.name(profile))
    }

    /// A relationship of a profile.
    pub(crate) fn a_relationship_of(&self, profile: &str) -> Option<String> {
        let state = self.state.lock();
        let place = state.world.living(profile).ok()?;
        state.world.profiles.get(&place)?.relationships.last().cloned()
    }

    pub(crate) fn gone(&self) -> Gone {
        let state = self.state.lock();
        let ended = state.world.profiles.values().filter(|profile| profile.end.is_some());
        Gone { profiles: ended.map(|profile| profile.id.clone()).collect(), ..Gone::default() }
    }

    pub(crate) fn truth(&self) -> Truth {
        truth::truth(&self.state.lock().world)
    }

    pub(crate) fn sign_headers(&self, body: &[u8], at: DateTime<Utc>, url: &str) -> Vec<(String, String)> {
        let (keys, scheme) = {
            let state = self.state.lock();
            (state.switches.keys.clone(), state.switches.scheme)
        };
        self.keys.sign(&keys, scheme, body, at, url)
    }
}
