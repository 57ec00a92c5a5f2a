//! The account as it stands when the world begins.

use chrono::{DateTime, Utc};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::schema::{FieldKind, Unsubscribe};
use super::world::{Profile, Subprofile, World, local_time};
use crate::names;

/// Interests of People as (group, name).
const INTERESTS: [(&str, &str); 8] = [
    ("sports", "soccer"),
    ("sports", "baseball"),
    ("sports", "tennis"),
    ("music", "jazz"),
    ("music", "opera"),
    ("food & drink", "wine"),
    ("food & drink", "cheese"),
    ("", "newsletter"),
];

/// The fields beyond the four basics, in the order in which `fields` asks for them.
fn further_fields() -> Vec<(&'static str, FieldKind)> {
    let countries = names::COUNTRIES.map(str::to_owned).to_vec();
    vec![
        ("age", FieldKind::Integer),
        ("score", FieldKind::Float),
        ("birthday", FieldKind::Date),
        ("last_visit", FieldKind::EmptyDate),
        ("registered", FieldKind::Datetime),
        ("country", FieldKind::Select(countries)),
        ("notes", FieldKind::Big),
        ("phone", FieldKind::PhoneGsm),
    ]
}

/// Makes the account: 15 % companies, the rest people, some of them with orders and visits.
pub(crate) fn generate(seed: u64, profiles: usize, fields: usize, now: DateTime<Utc>) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xc0be);
    let mut world = World { next_schema_id: 200, ..World::default() };
    let born = now.timestamp() - 3 * 365 * 86_400;
    let people = world.new_database("People", "Everyone we write to", born);
    let companies = world.new_database("Companies", "Where they work", born);
    lay_out(&mut world, people, companies, fields);

    let company_count = (profiles * 15 / 100).max(usize::from(profiles > 1));
    let company_ids: Vec<u64> = (0..company_count)
        .map(|number| add_company(&mut world, &mut rng, companies, number as u64, born, now))
        .collect();
    for _ in company_count..profiles {
        add_person(&mut world, &mut rng, people, &company_ids, fields, born, now);
    }
    world
}

fn lay_out(world: &mut World, people: u64, companies: u64, fields: usize) {
    let mut layout = vec![
        ("firstname", FieldKind::Text),
        ("lastname", FieldKind::Text),
        ("email", FieldKind::Email),
        ("company", FieldKind::ForeignKey),
    ];
    layout.extend(further_fields().into_iter().take(fields));
    let mut made: Vec<_> = layout.into_iter().map(|(name, kind)| world.new_field(name, kind)).collect();
    for number in 9..=fields {
        made.push(world.new_field(&format!("text_{number:02}"), FieldKind::Text));
    }
    let interests = INTERESTS.iter().map(|(group, name)| world.new_interest(group, name)).collect();
    if let Some(database) = world.databases.get_mut(&people) {
        database.fields = made;
        database.interests = interests;
        database.unsubscribe = Unsubscribe::Remove;
    }
    let layout = [
        ("name", FieldKind::Text),
        ("email", FieldKind::Email),
        ("city", FieldKind::Text),
        ("country", FieldKind::Select(names::COUNTRIES.map(str::to_owned).to_vec())),
        ("website", FieldKind::Text),
        ("founded", FieldKind::Integer),
        ("parent", FieldKind::ForeignKey),
    ];
    let made = layout.into_iter().map(|(name, kind)| world.new_field(name, kind)).collect();
    if let Some(database) = world.databases.get_mut(&companies) {
        database.fields = made;
    }
    let states = ["open", "paid", "shipped", "returned"].map(str::to_owned).to_vec();
    let orders = [
        ("order_number", FieldKind::Text),
        ("amount", FieldKind::Float),
        ("ordered_at", FieldKind::Datetime),
        ("status", FieldKind::Select(states)),
    ];
    let orders = orders.into_iter().map(|(name, kind)| world.new_field(name, kind)).collect();
    world.new_collection(people, "Orders", orders);
    let visits = [("page", FieldKind::Text), ("visited_at", FieldKind::EmptyDatetime), ("seconds", FieldKind::Integer)];
    let visits = visits.into_iter().map(|(name, kind)| world.new_field(name, kind)).collect();
    world.new_collection(people, "Visits", visits);
}

fn insert(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    database: u64,
    values: Vec<Box<str>>,
    born: i64,
    now: DateTime<Utc>,
) -> u64 {
    world.next_profile += 1;
    let id = world.next_profile;
    let created = rng.random_range(born..now.timestamp());
    let modified = rng.random_range(created..now.timestamp());
    let profile = Profile {
        database,
        values,
        interests: Vec::new(),
        created,
        modified,
        removed: None,
        erased: false,
        subprofiles: Vec::new(),
        secret: None,
    };
    world.profiles.insert(id, profile);
    if let Some(database) = world.databases.get_mut(&database) {
        database.live.insert(id);
    }
    id
}

fn add_company(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    database: u64,
    number: u64,
    born: i64,
    now: DateTime<Utc>,
) -> u64 {
    let name = names::company(rng);
    let parent = if number > 0 && rng.random_bool(0.2) { rng.random_range(1..=number) } else { 0 };
    let values = vec![
        name.as_str().into(),
        names::email("info", name.split(' ').next().unwrap_or_default(), number).into(),
        names::city(rng).into(),
        names::country(rng).into(),
        names::website(&name).into(),
        rng.random_range(1890..2025).to_string().into(),
        parent.to_string().into(),
    ];
    insert(world, rng, database, values, born, now)
}

fn add_person(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    database: u64,
    companies: &[u64],
    fields: usize,
    born: i64,
    now: DateTime<Utc>,
) {
    let (first, last) = names::person(rng);
    let number = world.next_profile + 1;
    let company = if rng.random_bool(0.7) { companies.choose(rng).copied().unwrap_or(0) } else { 0 };
    let email = if rng.random_bool(0.97) { names::email(first, last, number) } else { String::new() };
    let mut values: Vec<Box<str>> = vec![first.into(), last.into(), email.into(), company.to_string().into()];
    for at in 0..fields {
        values.push(further_value(at, rng, born, now).into());
    }
    let id = insert(world, rng, database, values, born, now);
    let interests = (0..INTERESTS.len() as u16).filter(|_| rng.random_bool(0.25)).collect();
    if let Some(profile) = world.profiles.get_mut(&id) {
        profile.interests = interests;
    }
    let (orders, visits) = (rng.random_range(0..10_u8), rng.random_range(0..10_u8));
    for _ in 0..orders.saturating_sub(6) {
        let values = vec![
            format!("SO-{:06}", rng.random_range(0..1_000_000)).into(),
            format!("{}", f64::from(rng.random_range(500..50_000)) / 100.0).into(),
            local_time(rng.random_range(born..now.timestamp())).into(),
            ["open", "paid", "shipped", "returned"][rng.random_range(0..4)].into(),
        ];
        insert_subprofile(world, rng, id, 101, values, born, now);
    }
    for _ in 0..visits.saturating_sub(7) {
        let values = vec![
            ["/", "/shop", "/contact", "/über-uns?a=1&b=2"][rng.random_range(0..4)].into(),
            local_time(rng.random_range(born..now.timestamp())).into(),
            rng.random_range(1..900).to_string().into(),
        ];
        insert_subprofile(world, rng, id, 102, values, born, now);
    }
}

fn further_value(at: usize, rng: &mut ChaCha8Rng, born: i64, now: DateTime<Utc>) -> String {
    let mostly = rng.random_bool(0.85);
    match at {
        0 => rng.random_range(16..90).to_string(),
        1 => (f64::from(rng.random_range(0..1000)) / 10.0).to_string(),
        2 if mostly => names::birthday(rng),
        2 => "0000-00-00".to_owned(),
        3 if mostly => local_time(rng.random_range(born..now.timestamp()))[..10].to_owned(),
        4 => local_time(rng.random_range(born..now.timestamp())),
        5 => names::country(rng).to_owned(),
        6 if mostly => names::note(rng).to_owned(),
        7 if mostly => names::phone(rng),
        8.. => names::city(rng).to_owned(),
        _ => String::new(),
    }
}

fn insert_subprofile(
    world: &mut World,
    rng: &mut ChaCha8Rng,
    profile: u64,
    collection: u64,
    values: Vec<Box<str>>,
    born: i64,
    now: DateTime<Utc>,
) {
    world.next_subprofile += 1;
    let id = world.next_subprofile;
    let created = rng.random_range(born..now.timestamp());
    let subprofile = Subprofile {
        profile,
        collection,
        values,
        created,
        modified: created,
        removed: None,
        erased: false,
        secret: None,
    };
    world.subprofiles.insert(id, subprofile);
    if let Some(profile) = world.profiles.get_mut(&profile) {
        profile.subprofiles.push(id);
    }
    if let Some(collection) = world.collections.get_mut(&collection) {
        collection.live.insert(id);
    }
}
