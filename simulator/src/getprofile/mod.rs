//! GetProfile: profiles distilled from text under caller-chosen ids; thin webhooks proved by the API key alone.
//!
//! In come mutations and REST calls, out go answers and `profile.updated` webhooks in the shared queue. New text is merged
//! only when its processing is done: `processing`, `summarizing`, `ready`. No event tells of a deletion, and an id may come
//! back. What the documentation leaves open is a field of [`GetProfileSwitches`].

mod change;
mod seed;
mod skin;
mod truth;
mod world;

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::context::Context;
use crate::guarded::Guarded;
use crate::truth::{Gone, Truth};
use world::World;

pub use world::Progress;

/// Everything about GetProfile that its documentation leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetProfileSwitches {
    /// GET answers `{"profile_id", "profile": {…}}` and not the flat profile.
    pub wrapped: bool,
    /// A webhook for each step, and not only for `ready`.
    pub processing_events: bool,
    /// POST answers 200 and not 202.
    pub post_is_200: bool,
    /// Not found is 400 with a message and not 404.
    pub absent_is_400: bool,
    /// The most rows on one page of a search.
    pub most_rows: usize,
}

impl Default for GetProfileSwitches {
    fn default() -> Self {
        Self { wrapped: false, processing_events: false, post_is_200: false, absent_is_400: false, most_rows: 100 }
    }
}

const TENANT: &str = "abc-tenant";

#[derive(Debug)]
struct State {
    world: World,
    switches: GetProfileSwitches,
    rng: ChaCha8Rng,
    key_generation: u32,
    events: u64,
    /// Ids under way, in order of submission.
    busy: Vec<String>,
}

/// The GetProfile app of a simulator. Clones share it.
#[derive(Debug, Clone)]
pub struct GetProfileSim {
    context: Arc<Context>,
    state: Arc<Guarded<State>>,
    muted: bool,
}

impl GetProfileSim {
    pub(crate) fn generate(context: Arc<Context>, seed: u64, profiles: usize) -> Self {
        let state = State {
            world: seed::generate(seed, profiles, context.clock.now()),
            switches: GetProfileSwitches::default(),
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x6e7),
            key_generation: 1,
            events: 0,
            busy: Vec::new(),
        };
        Self { context, state: Arc::new(Guarded::new(state)), muted: false }
    }

    /// A handle whose changes happen and lose their webhooks.
    #[must_use]
    pub fn silently(&self) -> Self {
        Self { muted: true, ..self.clone() }
    }

    /// The base of the REST API; paths under it begin with `/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/getprofile", self.context.origin)
    }

    /// The app's API key, which is the webhooks' secret as well.
    pub fn api_key(&self) -> String {
        api_key(self.state.lock().key_generation)
    }

    /// Makes a new API key; the old one fails at once, in REST and as what webhooks carry.
    pub fn rotate_api_key(&self) {
        self.state.lock().key_generation += 1;
    }

    /// The app's tenant id.
    pub fn tenant(&self) -> String {
        TENANT.to_owned()
    }

    /// Changes the switches.
    pub fn configure(&self, change: impl FnOnce(&mut GetProfileSwitches)) {
        change(&mut self.state.lock().switches);
    }

    /// Ids of the profiles, in their own order.
    pub fn profile_ids(&self) -> Vec<String> {
        self.state.lock().world.profiles.keys().cloned().collect()
    }

    /// A profile near a draw: (id, name).
    pub(crate) fn draw_profile(&self, draw: f64) -> Option<(String, String)> {
        let state = self.state.lock();
        let profiles = &state.world.profiles;
        let from = format!("user-{:06}", (profiles.len() as f64 * draw) as usize);
        let (id, profile) = profiles.range(from..).next().or_else(|| profiles.first_key_value())?;
        let sections = profile.sections.unpack();
        let name = sections.get("core_info").and_then(|core| core.get("name")).and_then(truth::bare_text);
        Some((id.clone(), name.unwrap_or(id).to_owned()))
    }

    /// The id of a deleted profile near a draw.
    pub(crate) fn draw_deleted(&self, draw: f64) -> Option<String> {
        let state = self.state.lock();
        let deleted = &state.world.deleted;
        deleted.iter().nth((deleted.len() as f64 * draw) as usize).cloned()
    }

    pub(crate) fn gone(&self) -> Gone {
        Gone { profiles: self.state.lock().world.deleted.clone(), ..Gone::default() }
    }

    pub(crate) fn truth(&self) -> Truth {
        truth::truth(&self.state.lock().world)
    }

    pub(crate) fn sign_headers(&self) -> Vec<(String, String)> {
        crate::sign::getprofile_headers(&self.api_key())
    }
}

fn api_key(generation: u32) -> String {
    format!("getprofile-simulator-api-key-{generation}")
}
