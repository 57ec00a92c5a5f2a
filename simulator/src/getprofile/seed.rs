//! The app as it stands when the world begins, and what text submitted to it may turn into.

use chrono::{DateTime, Duration, SubsecRound, Utc};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::world::{Profile, Progress, Sections, World};
use crate::clock::iso_auto;
use crate::names;

const HOBBIES: [&str; 8] =
    ["hiking", "sailing", "chess", "flamenco", "ice skating", "gardening", "photography", "cycling"];
const MUSIC: [&str; 5] = ["jazz", "fado", "techno", "opera", "indie"];
const TRAITS: [&str; 8] = ["curious", "patient", "direct", "warm", "careful", "playful", "stubborn", "generous"];
const MOODS: [&str; 5] = ["calm", "excited", "tired", "cheerful", "thoughtful"];
const EVENTS: [&str; 5] = ["adopted a cat", "moved to Utrecht", "started a bakery", "ran a marathon", "learnt Catalan"];

/// Makes the app: numbered users, some with ids that need escaping, a few in the older shape.
pub(crate) fn generate(seed: u64, profiles: usize, now: DateTime<Utc>) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x9e7);
    let mut world = World::default();
    for number in 0..profiles {
        // The first is the profile of the documented example event.
        let id = if number == 0 { "12345".to_owned() } else { new_id(&mut rng, number) };
        let created_at = now.trunc_subsecs(0) - Duration::seconds(rng.random_range(86_400..2 * 365 * 86_400));
        let last_updated = created_at + Duration::seconds(rng.random_range(0..(now - created_at).num_seconds().max(1)));
        let older_shape = rng.random_bool(0.02);
        let mut sections = sections(&mut rng, created_at);
        if older_shape {
            flatten_core(&mut sections);
        }
        let profile = Profile {
            sections: Sections::pack(&sections),
            pending: None,
            progress: if older_shape { Progress::Active } else { Progress::Ready },
            created_at,
            last_updated,
            updates: 1,
        };
        world.insert(&id, profile);
    }
    world
}

/// An id as a caller might choose it.
pub(crate) fn new_id(rng: &mut ChaCha8Rng, number: usize) -> String {
    match rng.random_range(0..60) {
        0 => format!("team/{} +{number}", rng.random_range(1..9)),
        1 => format!("zoë-{number}@example.com"),
        2 => format!("100%-{number}?x=1#y"),
        _ => format!("user-{:06}", number + 1),
    }
}

fn scored(value: &str, rng: &mut ChaCha8Rng) -> Value {
    json!({"value": value, "confidence": f64::from(rng.random_range(50..100)) / 100.0})
}

fn some_of(list: &[&str], most: usize, rng: &mut ChaCha8Rng) -> Value {
    let count = rng.random_range(0..=most);
    let chosen: Vec<&str> = list.choose_multiple(rng, count).copied().collect();
    chosen.into_iter().map(|value| scored(value, rng)).collect()
}

fn one_of(list: &[&str], rng: &mut ChaCha8Rng) -> Value {
    let value = list.choose(rng).copied().unwrap_or_default();
    scored(value, rng)
}

/// A whole profile's sections.
pub(crate) fn sections(rng: &mut ChaCha8Rng, at: DateTime<Utc>) -> Map<String, Value> {
    let (first, last) = names::person(rng);
    let mut core = Map::new();
    core.insert("name".into(), scored(&format!("{first} {last}"), rng));
    if rng.random_bool(0.7) {
        core.insert("age".into(), json!({"value": rng.random_range(16..90), "confidence": 0.9}));
    }
    if rng.random_bool(0.6) {
        core.insert("location".into(), scored(names::city(rng), rng));
    }
    let mut sections = Map::new();
    sections.insert("core_info".into(), Value::Object(core));
    sections
        .insert("interests".into(), json!({"hobbies": some_of(&HOBBIES, 3, rng), "music": some_of(&MUSIC, 2, rng)}));
    let moods = json!({"default": one_of(&MOODS, rng), "recent": one_of(&MOODS, rng)});
    sections.insert("personality".into(), json!({"traits": some_of(&TRAITS, 3, rng), "mood_trends": moods}));
    if rng.random_bool(0.5) {
        sections.insert("memories".into(), json!([memory(rng, at)]));
    }
    sections.insert(
        "preferences".into(),
        json!({"conversation_style": one_of(&["brief", "detailed", "friendly"], rng), "topics_to_avoid": []}),
    );
    sections.insert("summary".into(), json!(format!("{first} keeps busy and likes to talk about it.")));
    sections
}

/// Something that new text may add: one section.
pub(crate) fn news(rng: &mut ChaCha8Rng, at: DateTime<Utc>) -> Map<String, Value> {
    let mut sections = Map::new();
    match rng.random_range(0..4) {
        0 => sections.insert("interests".into(), json!({"hobbies": some_of(&HOBBIES, 4, rng)})),
        1 => sections.insert("personality".into(), json!({"traits": some_of(&TRAITS, 4, rng)})),
        2 => sections.insert("memories".into(), json!([memory(rng, at)])),
        _ => sections.insert("core_info".into(), json!({"location": scored(names::city(rng), rng)})),
    };
    sections
}

fn memory(rng: &mut ChaCha8Rng, at: DateTime<Utc>) -> Value {
    let event = EVENTS.choose(rng).copied().unwrap_or_default();
    json!({"event": event, "date": &iso_auto(at)[..10], "importance": "high", "confidence": 0.9})
}

/// Bare values in place of scored ones.
fn flatten_core(sections: &mut Map<String, Value>) {
    if let Some(core) = sections.get_mut("core_info").and_then(Value::as_object_mut) {
        for value in core.values_mut() {
            if let Some(bare) = value.get("value") {
                *value = bare.clone();
            }
        }
    }
}
