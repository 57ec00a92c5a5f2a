//! Copernica: databases, profiles, subprofiles, interests; soft deletes; Amsterdam time; RSA-signed form webhooks.
//!
//! In come mutations and REST calls, out go answers and webhooks in the shared queue. A mutation and the webhook about it
//! happen under one lock, so the webhook always shows the state that caused it. What the documentation leaves open is a
//! field of [`CopernicaSwitches`]; its default is the documented or likelier way.

mod change;
mod event;
mod listing;
mod schema;
mod seed;
mod skin;
mod token;
mod truth;
mod view;
mod world;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};

use crate::clock::real_now;
use crate::context::{Context, ProviderKind};
use crate::guarded::Guarded;
use crate::http::{Answer, Call};
use crate::outbox::Event;
use crate::sign::{BadKey, CopernicaKeys, CopernicaStyle};
use crate::truth::{Gone, Truth};
use world::World;

pub use schema::{FieldKind, Unsubscribe};

/// How webhooks write the interests of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InterestsEncoding {
    /// `interests[name]=1|0`, all of them.
    #[default]
    Map,
    /// `interests[]=name`, the active ones.
    List,
    /// `interests[group][name]=1|0`, all of them.
    Grouped,
}

/// What a deletion really does, as configured at Copernica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeleteBehaviour {
    /// Removes.
    #[default]
    Delete,
    /// Nothing, and answers as if it had.
    Nothing,
    /// Executes the unsubscription instead.
    Unsubscribe,
}

/// Everything about Copernica that its documentation leaves open, and its faults of configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopernicaSwitches {
    /// How webhooks write interests.
    pub interests: InterestsEncoding,
    /// Empty maps and lists are in the body as `key=` and not left out.
    pub empty_arrays_present: bool,
    /// Deleting a profile sends a webhook for each of its subprofiles too.
    pub cascaded_delete_webhooks: bool,
    /// Bodies carry the misleading `id`; on by default.
    pub id_key: bool,
    /// Delete bodies carry no fields, and those of subprofiles no database.
    pub minimal_delete_body: bool,
    /// An update that changes nothing sends a webhook.
    pub noop_update_webhook: bool,
    /// A change of interests moves `modified`.
    pub interest_change_bumps_modified: bool,
    /// The signature lists header names in mixed case.
    pub mixed_case_header_names: bool,
    /// The digest is `sha-256=` and not `SHA-256=`.
    pub lower_case_digest: bool,
    /// `X-Copernica-ID` is `account_1234` and not `account-1234`.
    pub account_underscore: bool,
    /// Error messages come without `Copernica REST API Error 400: `.
    pub bare_errors: bool,
    /// A bad token is answered with 400 and not with 401.
    pub auth_failure_is_400: bool,
    /// What deletions do.
    pub delete_behaviour: DeleteBehaviour,
    /// The most rows on one page of profiles or subprofiles; more is capped.
    pub most_rows: i64,
    /// Lists of ids tell of every live record, also of those that all other lists leave out.
    pub honest_id_lists: bool,
    /// Databases, by their ids, for which the token has lost its rights: to it they are not there, nor is what they hold.
    pub lost_databases: BTreeSet<u64>,
}

impl Default for CopernicaSwitches {
    fn default() -> Self {
        Self {
            interests: InterestsEncoding::Map,
            empty_arrays_present: false,
            cascaded_delete_webhooks: false,
            id_key: true,
            minimal_delete_body: false,
            noop_update_webhook: false,
            interest_change_bumps_modified: false,
            mixed_case_header_names: false,
            lower_case_digest: false,
            account_underscore: false,
            bare_errors: false,
            auth_failure_is_400: false,
            delete_behaviour: DeleteBehaviour::Delete,
            most_rows: 1000,
            honest_id_lists: false,
            lost_databases: BTreeSet::new(),
        }
    }
}

const ACCOUNT_NUMBER: u32 = 1234;
const API_TOKEN: &str = "copernica-simulator-api-token";

#[derive(Debug)]
struct State {
    world: World,
    switches: CopernicaSwitches,
    keys: CopernicaKeys,
    token_lifetime: Duration,
    token_generation: u64,
    webhooks_registered: u64,
    unsubscriptions: u64,
}

/// The Copernica account of a simulator. Clones share it.
#[derive(Debug, Clone)]
pub struct CopernicaSim {
    context: Arc<Context>,
    state: Arc<Guarded<State>>,
    muted: bool,
}

impl CopernicaSim {
    pub(crate) fn generate(context: Arc<Context>, seed: u64, profiles: usize, fields: usize) -> Result<Self, BadKey> {
        let state = State {
            world: seed::generate(seed, profiles, fields, context.clock.now()),
            switches: CopernicaSwitches::default(),
            keys: CopernicaKeys::load()?,
            token_lifetime: Duration::hours(24),
            token_generation: 0,
            webhooks_registered: 0,
            unsubscriptions: 0,
        };
        Ok(Self { context, state: Arc::new(Guarded::new(state)), muted: false })
    }

    /// A handle whose changes happen and lose their webhooks.
    #[must_use]
    pub fn silently(&self) -> Self {
        Self { muted: true, ..self.clone() }
    }

    /// The base of the REST API, with its version.
    pub fn base_url(&self) -> String {
        format!("{}/copernica/v4", self.context.origin)
    }

    /// The host that makes a JWT of the API token.
    pub fn auth_url(&self) -> String {
        format!("{}/copernica/auth", self.context.origin)
    }

    /// The API token: what `auth_url` takes as `access_token`.
    pub fn token(&self) -> String {
        API_TOKEN.to_owned()
    }

    /// The account as `X-Copernica-ID` names it.
    pub fn account(&self) -> String {
        account(&self.state.lock().switches)
    }

    /// The published keys: DNS name to DKIM text.
    pub fn key_txt_records(&self) -> BTreeMap<String, String> {
        self.state.lock().keys.txt_records()
    }

    /// Signs with the other key from now on; the old one stays published.
    pub fn rotate_key(&self) {
        self.state.lock().keys.rotate();
    }

    /// Takes the key that does not sign any more out of DNS.
    pub fn withdraw_old_key(&self) {
        self.state.lock().keys.withdraw_old();
    }

    /// Publishes the keys under another domain than `copernica.com`.
    pub fn set_key_domain(&self, domain: &str) {
        self.state.lock().keys.set_domain(domain);
    }

    /// Changes the switches.
    pub fn configure(&self, change: impl FnOnce(&mut CopernicaSwitches)) {
        change(&mut self.state.lock().switches);
    }

    /// How long JWTs issued from now on are valid, by the machine's clock.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.state.lock().token_lifetime = lifetime;
    }

    /// Makes every JWT issued so far invalid.
    pub fn expire_tokens(&self) {
        self.state.lock().token_generation += 1;
    }

    /// Answers the next `reads` reads of this profile by id as it is now, whatever changes.
    pub fn freeze_reads(&self, profile: &str, reads: u32) {
        let answer = {
            let state = self.state.lock();
            state
                .world
                .profile(profile)
                .ok()
                .map(|(id, found)| serde_json::json!(view::profile(&state.world, id, found, false)))
        };
        if let Some(answer) = answer {
            self.context.faults(ProviderKind::Copernica).freeze(profile, reads, answer);
        }
    }

    /// Ids of the live profiles of a database, ascending.
    pub fn profile_ids(&self, database: &str) -> Vec<String> {
        let state = self.state.lock();
        let live = state.world.database(database).map(|database| database.live.iter().map(u64::to_string).collect());
        live.unwrap_or_default()
    }

    /// Ids of the live subprofiles of a collection (by id), ascending.
    pub fn subprofile_ids(&self, collection: &str) -> Vec<String> {
        let state = self.state.lock();
        let live = state
            .world
            .collection(None, collection)
            .map(|collection| collection.live.iter().map(u64::to_string).collect());
        live.unwrap_or_default()
    }

    /// (id, name) of the databases.
    pub fn databases(&self) -> Vec<(String, String)> {
        self.state
            .lock()
            .world
            .databases
            .values()
            .map(|database| (database.id.to_string(), database.name.clone()))
            .collect()
    }

    /// (id, name) of the collections.
    pub fn collections(&self) -> Vec<(String, String)> {
        self.state
            .lock()
            .world
            .collections
            .values()
            .map(|collection| (collection.id.to_string(), collection.name.clone()))
            .collect()
    }

    /// A live profile of a database near a draw, without a scan.
    pub(crate) fn draw_profile(&self, database: &str, draw: f64) -> Option<String> {
        let state = self.state.lock();
        let live = &state.world.database(database).ok()?.live;
        near(live, draw).map(|id| id.to_string())
    }

    /// A live subprofile near a draw.
    pub(crate) fn draw_subprofile(&self, collection: &str, draw: f64) -> Option<String> {
        let state = self.state.lock();
        let live = &state.world.collections.values().find(|known| known.name == collection)?.live;
        near(live, draw).map(|id| id.to_string())
    }

    /// The name of a live profile, for people.
    pub(crate) fn name_of(&self, profile: &str) -> Option<String> {
        let state = self.state.lock();
        let (_, found) = state.world.profile(profile).ok()?;
        let schema = &state.world.databases.get(&found.database)?.fields;
        let at =
            |name: &str| schema::find_field(schema, name).map(|at| world::value_at(schema, &found.values, at, false));
        match at("name") {
            Some(name) => Some(name.to_owned()),
            None => Some(format!("{} {}", at("firstname")?, at("lastname")?).trim().to_owned()),
        }
    }

    pub(crate) fn gone(&self) -> Gone {
        let world = &self.state.lock().world;
        let profiles = world.profiles.iter().filter(|(_, profile)| profile.removed.is_some());
        let subprofiles = world.subprofiles.iter().filter(|(_, subprofile)| subprofile.removed.is_some());
        Gone {
            profiles: profiles.map(|(id, _)| id.to_string()).collect(),
            subprofiles: subprofiles.map(|(id, _)| id.to_string()).collect(),
        }
    }

    pub(crate) fn truth(&self) -> Truth {
        truth::truth(&self.state.lock().world)
    }

    pub(crate) fn sign_headers(&self, body: &[u8], at: DateTime<Utc>, url: &str) -> Vec<(String, String)> {
        let state = self.state.lock();
        let style = CopernicaStyle {
            account: account(&state.switches),
            mixed_case_names: state.switches.mixed_case_header_names,
            lower_case_digest: state.switches.lower_case_digest,
        };
        state.keys.sign(&style, body, at, url)
    }

    /// Answers the authentication host.
    pub(crate) fn authenticate(&self, call: &Call) -> Answer {
        let state = self.state.lock();
        let given = call.json()["access_token"].as_str().map(str::to_owned);
        if given.as_deref() != Some(API_TOKEN) {
            return skin::error(&state.switches, "Invalid access token");
        }
        let now = real_now().timestamp();
        let jwt =
            token::issue(&account(&state.switches), state.token_generation, now, state.token_lifetime.num_seconds());
        Answer::text(axum::http::StatusCode::OK, "text/plain", jwt)
    }

    fn now(&self) -> i64 {
        self.context.clock.now().timestamp()
    }

    fn announce(&self, events: impl IntoIterator<Item = Event>) {
        if !self.muted {
            events.into_iter().for_each(|event| self.context.outbox.push(event));
        }
    }
}

fn account(switches: &CopernicaSwitches) -> String {
    let separator = if switches.account_underscore { '_' } else { '-' };
    format!("account{separator}{ACCOUNT_NUMBER}")
}

fn near(live: &std::collections::BTreeSet<u64>, draw: f64) -> Option<u64> {
    let (first, last) = (*live.first()?, *live.last()?);
    let from = first + ((last - first) as f64 * draw.clamp(0.0, 1.0)) as u64;
    live.range(from..).next().copied()
}
