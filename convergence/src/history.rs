//! A history: the world that it begins with, and its steps. Both follow from a seed.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use simulator::ProviderKind;
use std::fmt;

/// One history.
#[derive(Clone, Debug)]
pub struct History {
    /// Everything follows from it.
    pub seed: u64,
    /// Whose source it is about.
    pub kind: ProviderKind,
    /// Its nature.
    pub temper: Temper,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What is the same through a whole history. Each history has its own: one loses every second webhook, another is
/// killed again and again.
#[derive(Clone, Debug)]
pub struct Temper {
    /// Profiles that the provider has when it begins, about.
    pub profiles: usize,
    /// Rows on a page.
    pub rows_a_page: usize,
    /// Share of webhooks that are never sent.
    pub loss: f64,
    /// Share of webhooks that are sent twice.
    pub doubling: f64,
    /// Share of webhooks that are late.
    pub lateness: f64,
    /// So many steps late at most.
    pub most_late: u32,
    /// Whether late webhooks may come after the run that closes the history.
    pub stragglers: bool,
    /// Share of profiles that are not visible by id for the first reads after they were created.
    pub unseen: f64,
    /// Whether a first import fills the mirror before the steps begin.
    pub begins_full: bool,
    /// Whether each deletion of a run waits for a person.
    pub is_braked: bool,
    /// Decides what the provider's documentation leaves open.
    pub switches: u64,
    /// Every webhook comes in the end, and reads by id show what is there: the mirror needs no run to be right.
    pub is_lossless: bool,
}

/// One step. `draw` decides what it draws, so that a step does the same whichever others are left out.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its place in the history as it was made: late webhooks come by it.
    pub at: u32,
    /// What happens.
    pub deed: Deed,
    /// Where its randomness comes from.
    pub draw: u64,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Something changes upstream, and webhooks are put on their way.
    Change,
    /// The webhooks that are due arrive.
    Arrive,
    /// What is pending is applied.
    Apply,
    /// Fetches that are due are started.
    Fetch,
    /// A request reaches upstream, or an answer reaches us.
    Travel,
    /// A run is asked for and begins, or one that was interrupted is resumed.
    Run,
    /// The run comes a leg further.
    Page,
    /// A person decides about a run.
    Decide,
    /// The token loses rights while a run looks.
    Lapse,
    /// A run that failed is tried again when its time has come.
    Retry,
    /// Time passes.
    Wait,
    /// Upstream begins or ceases to answer wrongly.
    Weather,
    /// The service dies, and another instance starts.
    Kill,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>3} {:?}", self.at, self.deed)
    }
}

impl History {
    /// The history of a seed, of this provider or of any.
    pub fn of(seed: u64, kind: Option<ProviderKind>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = ProviderKind::ALL[rng.random_range(0..3)];
        let temper = Temper::draw(&mut rng);
        let weights = Weights::draw(&mut rng);
        let count = rng.random_range(12..64);
        let steps = (0..count).map(|at| Step { at, deed: weights.deed(&mut rng), draw: rng.next_u64() }).collect();
        Self { seed, kind: kind.unwrap_or(drawn), temper, steps }
    }

    /// The same with these steps only, by their place.
    #[must_use]
    pub fn only(&self, places: &[u32]) -> Self {
        let steps = self.steps.iter().copied().filter(|step| places.contains(&step.at)).collect();
        Self { steps, ..self.clone() }
    }
}

impl Temper {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let share =
            |rng: &mut ChaCha8Rng, most: f64| if rng.random_bool(0.3) { 0.0 } else { rng.random_range(0.0..most) };
        // So many that a run asks for a few of its candidates before it asks for all.
        let is_large = rng.random_bool(0.06);
        let drawn = Self {
            profiles: if is_large { rng.random_range(30..60) } else { rng.random_range(2..13) },
            rows_a_page: rng.random_range(2..7),
            loss: share(rng, 0.7),
            doubling: share(rng, 0.5),
            lateness: share(rng, 0.9),
            most_late: rng.random_range(1..25),
            stragglers: rng.random_bool(0.3),
            unseen: share(rng, 0.5),
            begins_full: rng.random_bool(0.7),
            is_braked: rng.random_bool(if is_large { 0.7 } else { 0.15 }),
            switches: rng.next_u64(),
            is_lossless: false,
        };
        if drawn.switches.is_multiple_of(3) {
            // So few that much happens to each, and one event meets another.
            let profiles = drawn.profiles.min(4);
            return Self { is_lossless: true, profiles, loss: 0.0, begins_full: true, stragglers: false, ..drawn };
        }
        drawn
    }
}

/// How often each deed happens.
struct Weights([(Deed, u32); 13]);

impl Weights {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut weight = |usual: u32| match rng.random_range(0..6) {
            0 => usual / 4,
            1 => usual * 3,
            _ => usual,
        };
        Self([
            (Deed::Change, weight(30).max(10)),
            (Deed::Arrive, weight(18)),
            (Deed::Apply, weight(14)),
            (Deed::Fetch, weight(10)),
            (Deed::Travel, weight(22)),
            (Deed::Run, weight(6)),
            (Deed::Page, weight(22)),
            (Deed::Decide, weight(3)),
            (Deed::Lapse, weight(1)),
            (Deed::Retry, weight(2)),
            (Deed::Wait, weight(5)),
            (Deed::Weather, weight(5)),
            (Deed::Kill, weight(4)),
        ])
    }

    fn deed(&self, rng: &mut ChaCha8Rng) -> Deed {
        let all: u32 = self.0.iter().map(|(_, weight)| weight).sum();
        let mut draw = rng.random_range(0..all.max(1));
        for (deed, weight) in self.0 {
            if draw < weight {
                return deed;
            }
            draw -= weight;
        }
        Deed::Change
    }
}
