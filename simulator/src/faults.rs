//! What may go wrong, per provider, settable while everything runs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::guarded::Guarded;

/// A way for one REST request to fail.
#[derive(Debug, Clone, PartialEq)]
pub enum FailureKind {
    /// 429 with this `Retry-After` (seconds or an HTTP date), or without one.
    Status429 {
        /// The header's value.
        retry_after: Option<String>,
    },
    /// 500 in the provider's own shape.
    Status500,
    /// 503 with a load balancer's HTML page.
    Html503,
    /// 200 with an HTML page.
    Html200,
    /// 200 with nothing in it.
    Empty200,
    /// The right answer, one chunk at a time with this pause between chunks.
    SlowBody {
        /// Bytes a chunk.
        chunk_bytes: usize,
        /// The pause after each.
        pause: Duration,
    },
    /// The right answer, the connection cut after this share of it (0 to 1).
    CutBody {
        /// Share of the body that arrives.
        share: f64,
    },
    /// Half of the right answer with a matching length: broken JSON that looks whole.
    CutJson,
    /// 401: bad credential.
    Unauthorized,
    /// 403: not allowed.
    Forbidden,
    /// 404 in the provider's own shape.
    NotFound,
    /// No answer for this long, then the right one.
    Hang(Duration),
    /// A redirect to this address.
    Redirect(String),
    /// The answer to the previous request for the same path, whatever page was asked for.
    RepeatPage,
    /// 200 with a JSON body of this many bytes.
    HugeBody(usize),
    /// The right answer with one more header of this many bytes.
    HugeHeader(usize),
}

impl FailureKind {
    /// Says whether the request never reaches the world.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Status429 { .. }
                | Self::Status500
                | Self::Html503
                | Self::Html200
                | Self::Empty200
                | Self::Unauthorized
                | Self::Forbidden
                | Self::NotFound
                | Self::Redirect(_)
                | Self::HugeBody(_)
        )
    }
}

/// What befalls outgoing webhooks in `send_all`; shares are between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct OutgoingFaults {
    /// Sent twice.
    pub duplicate_share: f64,
    /// Never sent.
    pub drop_share: f64,
    /// Sent with a signature that does not verify.
    pub bad_signature_share: f64,
    /// Kept back until the next `send_all`, so that it arrives after later events.
    pub hold_share: f64,
    /// Each event may change places with one of so many after it; 0 and 1 keep the order.
    pub reorder_window: usize,
    /// Dated so long before it is sent.
    pub sent_late: Duration,
    /// So many are under way at once; 0 and 1 send one after the other.
    pub burst: usize,
}

impl Default for OutgoingFaults {
    fn default() -> Self {
        Self {
            duplicate_share: 0.0,
            drop_share: 0.0,
            bad_signature_share: 0.0,
            hold_share: 0.0,
            reorder_window: 0,
            sent_late: Duration::ZERO,
            burst: 1,
        }
    }
}

#[derive(Debug)]
struct State {
    rng: ChaCha8Rng,
    outgoing: OutgoingFaults,
    planned: VecDeque<(String, FailureKind)>,
    chances: Vec<(f64, FailureKind)>,
    hidden: HashMap<String, u32>,
    hidden_subprofiles: HashMap<String, u32>,
    stale: HashMap<String, (u32, Value)>,
    unlisted: Arc<HashSet<String>>,
    overstated: usize,
    forbidden: HashSet<String>,
    garbled: HashSet<String>,
}

/// The faults of one provider.
#[derive(Debug)]
pub struct Faults(Guarded<State>);

impl Faults {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Guarded::new(State {
            rng: ChaCha8Rng::seed_from_u64(seed),
            outgoing: OutgoingFaults::default(),
            planned: VecDeque::new(),
            chances: Vec::new(),
            hidden: HashMap::new(),
            hidden_subprofiles: HashMap::new(),
            stale: HashMap::new(),
            unlisted: Arc::default(),
            overstated: 0,
            forbidden: HashSet::new(),
            garbled: HashSet::new(),
        }))
    }

    /// Makes the next `times` requests fail, the first ones whatever their path: at Copernica that may be the one for a JWT.
    pub fn fail_next(&self, times: usize, kind: FailureKind) {
        self.fail_next_at("", times, kind);
    }

    /// Makes the next `times` requests whose path and query contain `path_contains` fail.
    pub fn fail_next_at(&self, path_contains: &str, times: usize, kind: FailureKind) {
        let mut state = self.0.lock();
        for _ in 0..times {
            state.planned.push_back((path_contains.to_owned(), kind.clone()));
        }
    }

    /// Makes this share of all requests fail so; several kinds add up, a share of 0 takes the kind away.
    pub fn fail_share(&self, share: f64, kind: FailureKind) {
        let mut state = self.0.lock();
        state.chances.retain(|(_, known)| *known != kind);
        if share > 0.0 {
            state.chances.push((share, kind));
        }
    }

    /// Answers *not found* for the next `reads` reads of this profile by id: it is not visible yet. Nothing tells one that
    /// lists leave out from then on from one that is gone.
    pub fn hide(&self, profile: &str, reads: u32) {
        self.0.lock().hidden.insert(profile.to_owned(), reads);
    }

    /// The same of a subprofile, at Copernica.
    pub fn hide_subprofile(&self, subprofile: &str, reads: u32) {
        self.0.lock().hidden_subprofiles.insert(subprofile.to_owned(), reads);
    }

    /// Whether lists leave out a profile or a subprofile.
    pub fn leave_out(&self, id: &str) -> bool {
        self.0.lock().unlisted.contains(id)
    }

    /// Leaves these profiles and subprofiles out of every list and its total, as a filter or a lost right would. Reads
    /// by id still find them.
    pub fn unlist(&self, ids: impl IntoIterator<Item = String>) {
        let mut state = self.0.lock();
        state.unlisted = Arc::new(ids.into_iter().collect());
        let unlisted = Arc::clone(&state.unlisted);
        state.hidden.retain(|id, _| !unlisted.contains(id));
        state.hidden_subprofiles.retain(|id, _| !unlisted.contains(id));
    }

    /// Lists of profiles tell totals that are too high by this, as a list does that was cut.
    pub fn overstate_totals(&self, by: usize) {
        self.0.lock().overstated = by;
    }

    /// Answers reads of these profiles by id with 403, at Parallel and GetProfile. Replaces those before.
    pub fn forbid(&self, ids: impl IntoIterator<Item = String>) {
        self.0.lock().forbidden = ids.into_iter().collect();
    }

    /// Lists tell of these profiles and subprofiles in rows of which nobody can read more than the id. Reads by id are as
    /// they should be. Replaces those before.
    pub fn garble_in_lists(&self, ids: impl IntoIterator<Item = String>) {
        self.0.lock().garbled = ids.into_iter().collect();
    }

    /// Garbles the rows in the answer to a list that are to be garbled.
    pub(crate) fn garble(&self, body: Bytes) -> Bytes {
        let state = self.0.lock();
        if state.garbled.is_empty() {
            return body;
        }
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(&body) else { return body };
        let id = |row: &Value| {
            ["ID", "id", "profile_id"].into_iter().find_map(|key| row.get(key)?.as_str().map(str::to_owned))
        };
        let is_garbled = |row: &&mut Value| id(row).is_some_and(|id| state.garbled.contains(&id));
        let rows = answer.values_mut().filter_map(Value::as_array_mut).flatten().filter(is_garbled);
        let parts = rows.flat_map(|row| row.as_object_mut().into_iter().flatten());
        for (_, value) in parts.filter(|(key, _)| matches!(key.as_str(), "fields" | "tenant_id")) {
            *value = Value::from("garbled");
        }
        serde_json::to_vec(&answer).map_or(body, Bytes::from)
    }

    pub(crate) fn is_forbidden(&self, profile: &str) -> bool {
        self.0.lock().forbidden.contains(profile)
    }

    /// Which ids no list tells, and by how much totals are too high.
    pub(crate) fn lies(&self) -> (Arc<HashSet<String>>, usize) {
        let state = self.0.lock();
        (Arc::clone(&state.unlisted), state.overstated)
    }

    pub(crate) fn freeze(&self, profile: &str, reads: u32, answer: Value) {
        self.0.lock().stale.insert(profile.to_owned(), (reads, answer));
    }

    /// Changes what befalls outgoing webhooks.
    pub fn outgoing(&self, change: impl FnOnce(&mut OutgoingFaults)) {
        change(&mut self.0.lock().outgoing);
    }

    /// Takes every fault away.
    pub fn clear(&self) {
        let mut state = self.0.lock();
        state.outgoing = OutgoingFaults::default();
        state.planned.clear();
        state.chances.clear();
        state.hidden.clear();
        state.hidden_subprofiles.clear();
        state.stale.clear();
        state.unlisted = Arc::default();
        state.overstated = 0;
        state.forbidden.clear();
        state.garbled.clear();
    }

    /// The failure that this request meets, if any.
    pub(crate) fn next_failure(&self, path_and_query: &str) -> Option<FailureKind> {
        let mut state = self.0.lock();
        if let Some(at) = state.planned.iter().position(|(needle, _)| path_and_query.contains(needle.as_str())) {
            return state.planned.remove(at).map(|(_, kind)| kind);
        }
        if state.chances.is_empty() {
            return None;
        }
        let mut draw: f64 = state.rng.random();
        for (share, kind) in &state.chances {
            if draw < *share {
                return Some(kind.clone());
            }
            draw -= share;
        }
        None
    }

    /// Uses up one read of a hidden profile.
    pub(crate) fn is_hidden(&self, profile: &str) -> bool {
        use_up(&mut self.0.lock().hidden, profile)
    }

    /// Uses up one read of a hidden subprofile.
    pub(crate) fn is_hidden_subprofile(&self, subprofile: &str) -> bool {
        use_up(&mut self.0.lock().hidden_subprofiles, subprofile)
    }

    /// Uses up one read of a frozen profile.
    pub(crate) fn stale_answer(&self, profile: &str) -> Option<Value> {
        let mut state = self.0.lock();
        let (left, answer) = state.stale.get_mut(profile)?;
        if *left == 0 {
            return None;
        }
        *left -= 1;
        Some(answer.clone())
    }

    pub(crate) fn current_outgoing(&self) -> OutgoingFaults {
        self.0.lock().outgoing.clone()
    }

    pub(crate) fn draw(&self) -> f64 {
        self.0.lock().rng.random()
    }

    pub(crate) fn draw_below(&self, bound: usize) -> usize {
        self.0.lock().rng.random_range(0..bound.max(1))
    }
}

fn use_up(hidden: &mut HashMap<String, u32>, id: &str) -> bool {
    let Some(left @ 1..) = hidden.get_mut(id) else { return false };
    *left -= 1;
    true
}
