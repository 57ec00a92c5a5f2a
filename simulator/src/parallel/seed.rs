//! The organization as it stands when the world begins.

use chrono::{DateTime, Duration, Utc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::world::{Field, ProfileType, RelationshipType, Status, World, new_id};
use crate::names;

pub(crate) const INDIVIDUAL: usize = 0;
pub(crate) const LEGAL_ENTITY: usize = 1;
pub(crate) const MATTER: usize = 2;

type Layout = (Option<&'static str>, [&'static str; 2], &'static str, &'static [&'static str]);

const INDIVIDUAL_FIELDS: [Layout; 11] = [
    (Some("p_first_name"), ["First name", "Nombre"], "SHORT_TEXT", &[]),
    (Some("p_last_name"), ["Last name", "Apellidos"], "SHORT_TEXT", &[]),
    (Some("p_email"), ["Email", "Correo electrónico"], "SHORT_TEXT", &[]),
    (Some("p_phone_number"), ["Phone", "Teléfono"], "PHONE", &[]),
    (Some("p_birth_date"), ["Date of birth", "Fecha de nacimiento"], "DATE", &[]),
    (Some("p_country_of_residence"), ["Country", "País"], "SELECT", &names::COUNTRIES),
    (Some("p_languages"), ["Languages", "Idiomas"], "CHECKBOX", &["NL", "ES", "EN"]),
    (Some("p_background_check"), ["Background check", "Comprobación"], "BACKGROUND_CHECK", &[]),
    (Some("p_passport"), ["Passport", "Pasaporte"], "FILE", &[]),
    (Some("p_risk_score"), ["Risk score", "Riesgo"], "NUMBER", &[]),
    (None, ["Internal note", "Nota interna"], "TEXT", &[]),
];

const LEGAL_ENTITY_FIELDS: [Layout; 10] = [
    (Some("p_entity_name"), ["Name", "Razón social"], "SHORT_TEXT", &[]),
    (Some("p_registration_number"), ["Registration number", "Número de registro"], "SHORT_TEXT", &[]),
    (Some("p_email"), ["Email", "Correo electrónico"], "SHORT_TEXT", &[]),
    (Some("p_country_of_incorporation"), ["Country", "País"], "SELECT", &names::COUNTRIES),
    (Some("p_date_of_incorporation"), ["Incorporated", "Constitución"], "DATE", &[]),
    (Some("p_share_capital"), ["Share capital", "Capital social"], "NUMBER", &[]),
    (Some("p_client_status"), ["Client status", "Estado"], "SELECT", &["PROSPECT", "CLIENT", "FORMER"]),
    (Some("p_account_manager"), ["Account manager", "Gestor"], "USER_ASSIGNMENT", &[]),
    (Some("p_adverse_media"), ["Adverse media", "Medios adversos"], "ADVERSE_MEDIA_SEARCH", &[]),
    (None, ["Internal note", "Nota interna"], "TEXT", &[]),
];

const MATTER_FIELDS: [Layout; 5] = [
    (Some("matter_name"), ["Matter", "Asunto"], "SHORT_TEXT", &[]),
    (Some("matter_area"), ["Area", "Área"], "SELECT", &["TAX", "LABOUR", "MERGERS"]),
    (Some("matter_value"), ["Value", "Importe"], "NUMBER", &[]),
    (Some("matter_place"), ["Place", "Lugar"], "GEOLOCATION", &[]),
    (None, ["Internal note", "Nota interna"], "TEXT", &[]),
];

/// Makes the organization: 50 % people, 40 % companies, the rest matters, and relationships between them.
pub(crate) fn generate(seed: u64, profiles: usize, now: DateTime<Utc>) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x9a7a);
    let types = vec![
        profile_type(&mut rng, ["Individual", "Persona física"], &INDIVIDUAL_FIELDS, &["p_first_name", "p_last_name"]),
        profile_type(&mut rng, ["Legal entity", "Persona jurídica"], &LEGAL_ENTITY_FIELDS, &["p_entity_name"]),
        profile_type(&mut rng, ["Matter", "Asunto"], &MATTER_FIELDS, &["matter_name"]),
    ];
    let mut kind = |alias, name, inverse_name| RelationshipType { id: new_id(&mut rng), alias, name, inverse_name };
    let relationship_types = vec![
        kind(Some("p_parent__child"), ["Parent", "Matriz"], ["Child", "Filial"]),
        kind(Some("p_director__managed_by"), ["Director", "Administrador"], ["Managed by", "Administrada por"]),
        kind(Some("p_client__matter"), ["Client", "Cliente"], ["Matter", "Asunto"]),
        kind(None, ["Knows", "Conoce a"], ["Known by", "Conocido por"]),
    ];
    let mut world = World {
        types,
        relationship_types,
        profiles: Default::default(),
        places: Default::default(),
        relationships: Default::default(),
        next_place: 0,
        rng: ChaCha8Rng::seed_from_u64(seed ^ 0x1d5),
    };
    let step = Duration::milliseconds(2 * 365 * 86_400_000 / (profiles.max(1) as i64 + 1));
    for number in 0..profiles {
        let created = now - Duration::days(2 * 365) + step * i32::try_from(number).unwrap_or(i32::MAX);
        add_profile(&mut world, &mut rng, number, created, now);
    }
    for _ in 0..profiles / 2 {
        add_relationship(&mut world, &mut rng);
    }
    world
}

fn profile_type(
    rng: &mut ChaCha8Rng,
    name: [&'static str; 2],
    layout: &[Layout],
    name_fields: &'static [&'static str],
) -> ProfileType {
    let field = |(alias, name, kind, options): &Layout| Field {
        id: new_id(rng),
        alias: *alias,
        name: *name,
        kind,
        is_expirable: *kind == "FILE" || *kind == "BACKGROUND_CHECK",
        options,
    };
    let fields = layout.iter().map(field).collect();
    ProfileType { id: new_id(rng), name, fields, name_fields, listed: Default::default() }
}

fn add_profile(world: &mut World, rng: &mut ChaCha8Rng, number: usize, created: DateTime<Utc>, now: DateTime<Utc>) {
    let kind = match number % 20 {
        7 | 14 => MATTER,
        2 | 4 | 6 | 10 | 12 | 15 | 17 | 19 => LEGAL_ENTITY,
        _ => INDIVIDUAL,
    };
    // The second id is the first one with every letter's case flipped: ids are case-sensitive.
    let id = match world.profiles.get(&1) {
        Some(first) if number == 1 => first.id.chars().map(flip_case).collect(),
        // The profile of the documented example event.
        _ if number == 3 => "prof1".to_owned(),
        _ => new_id(rng),
    };
    let place = world.create(kind, id, created);
    let first_values = values(kind, rng, place);
    if let Some(profile) = world.profiles.get_mut(&place) {
        let held =
            |(at, value): (usize, Value)| (at, super::world::Held { value, expires_at: None, created_at: created });
        profile.values = first_values.into_iter().map(held).collect();
        match rng.random_range(0..40) {
            0 | 1 => {
                profile.status = Status::Closed;
                profile.closed_at = Some(created + Duration::days(1));
            }
            2 => {
                profile.status = Status::DeletionScheduled;
                profile.deletion_at = Some(now + Duration::days(rng.random_range(1..90)));
            }
            _ => {}
        }
    }
}

fn flip_case(letter: char) -> char {
    if letter.is_ascii_lowercase() { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() }
}

/// First values of a profile by place of the field.
pub(crate) fn values(kind: usize, rng: &mut ChaCha8Rng, number: u64) -> Vec<(usize, Value)> {
    let mut all = match kind {
        INDIVIDUAL => {
            let (first, last) = names::person(rng);
            vec![
                (0, json!(first)),
                (1, json!(last)),
                (2, json!(names::email(first, last, number))),
                (3, json!(names::phone(rng))),
                (4, json!(names::birthday(rng))),
                (5, json!(names::country(rng))),
                (6, json!(["NL", "EN"])),
                (
                    7,
                    json!({"entity": {"id": format!("Q{number}"), "type": "Person"}, "search": {"falsePositivesCount": 2}}),
                ),
                (
                    8,
                    json!([{"name": "passport.pdf", "size": rng.random_range(10_000..900_000), "contentType": "application/pdf"}]),
                ),
                (9, json!(rng.random_range(0..100))),
                (10, json!(names::note(rng))),
            ]
        }
        LEGAL_ENTITY => {
            let name = names::company(rng);
            let short = name.split(' ').next().unwrap_or_default().to_owned();
            vec![
                (0, json!(name)),
                (1, json!(format!("{:08}", rng.random_range(0..100_000_000_u32)))),
                (2, json!(names::email("office", &short, number))),
                (3, json!(names::country(rng))),
                (4, json!(names::birthday(rng))),
                (5, json!(f64::from(rng.random_range(1..1_000_000)) / 4.0)),
                (6, json!(["PROSPECT", "CLIENT", "FORMER"][rng.random_range(0..3)])),
                (7, json!("usr3kP0aXb")),
                (8, json!({"articles": {"count": rng.random_range(0..4)}})),
                (9, json!(names::note(rng))),
            ]
        }
        _ => vec![
            (
                0,
                json!(format!(
                    "{} {}",
                    ["Merger", "Dismissal", "Lease", "Appeal"][rng.random_range(0..4)],
                    1000 + number
                )),
            ),
            (1, json!(["TAX", "LABOUR", "MERGERS"][rng.random_range(0..3)])),
            (2, json!(rng.random_range(1_000..500_000))),
            (3, json!({"lat": 52.37, "lon": 4.9, "city": names::city(rng)})),
            (4, json!(names::note(rng))),
        ],
    };
    // The name's fields stay; of the others some are empty.
    let kept = if kind == INDIVIDUAL { 3 } else { 1 };
    all.retain(|(at, _)| *at < kept || rng.random_bool(0.6));
    all
}

fn add_relationship(world: &mut World, rng: &mut ChaCha8Rng) {
    let last = world.next_place;
    let (left, right) = (rng.random_range(1..=last.max(1)), rng.random_range(1..=last.max(1)));
    let kind_at = |place| world.profiles.get(&place).map(|profile| profile.kind);
    let kind = match (kind_at(left), kind_at(right)) {
        (Some(LEGAL_ENTITY), Some(LEGAL_ENTITY)) => 0,
        (Some(INDIVIDUAL), Some(LEGAL_ENTITY)) => 1,
        (Some(_), Some(MATTER)) => 2,
        (Some(_), Some(_)) => 3,
        _ => return,
    };
    if left != right {
        world.link(new_id(rng), kind, left, right);
    }
}
