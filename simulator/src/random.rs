//! One random thing that might happen upstream, and long histories of them.

use chrono::Duration;
use rand::Rng;
use serde_json::{Value, json};

use crate::context::ProviderKind;
use crate::names;
use crate::simulator::Simulator;

/// Something that happened in the world, told for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Where.
    pub provider: ProviderKind,
    /// "Parallel: Acme B.V. was closed"
    pub text: String,
}

impl std::fmt::Display for Happening {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Draws from any generator through one that the world's lists of names can use.
struct Draw(rand_chacha::ChaCha8Rng);

impl Draw {
    fn from(rng: &mut impl Rng) -> Self {
        use rand::SeedableRng;
        Self(rand_chacha::ChaCha8Rng::seed_from_u64(rng.random()))
    }

    fn share(&mut self) -> f64 {
        self.0.random()
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0.random_range(0..bound)
    }
}

impl Simulator {
    /// Makes one random change at a random provider. Equal worlds and equal generators make equal changes.
    pub fn random_change(&self, rng: &mut impl Rng) -> Happening {
        let provider = match rng.random_range(0..10) {
            0..5 => ProviderKind::Copernica,
            5..8 => ProviderKind::Parallel,
            _ => ProviderKind::GetProfile,
        };
        self.random_change_at(provider, rng)
    }

    /// Makes one random change at this provider.
    pub fn random_change_at(&self, provider: ProviderKind, rng: &mut impl Rng) -> Happening {
        let mut draw = Draw::from(rng);
        // Some draws meet a profile that is gone, or change nothing; a few tries find one that does.
        for _ in 0..20 {
            let done = match provider {
                ProviderKind::Copernica => self.change_copernica(&mut draw),
                ProviderKind::Parallel => self.change_parallel(&mut draw),
                ProviderKind::GetProfile => self.change_getprofile(&mut draw),
            };
            if let Some(text) = done {
                return Happening { provider, text: format!("{provider}: {text}") };
            }
        }
        Happening { provider, text: format!("{provider}: nothing happened") }
    }

    /// Makes `count` random changes at a provider, none to three seconds apart, and tells of each.
    pub fn random_history(&self, provider: ProviderKind, count: usize) -> Vec<Happening> {
        let mut happenings = Vec::with_capacity(count);
        for _ in 0..count {
            let (mut rng, pause) = {
                use rand::SeedableRng;
                let mut history = self.history.lock();
                (rand_chacha::ChaCha8Rng::seed_from_u64(history.random()), history.random_range(0..4))
            };
            self.advance(Duration::seconds(pause));
            happenings.push(self.random_change_at(provider, &mut rng));
        }
        happenings
    }

    fn change_copernica(&self, draw: &mut Draw) -> Option<String> {
        let copernica = self.copernica();
        let choice = draw.below(100);
        if choice < 15 {
            let (first, last) = names::person(&mut draw.0);
            let email = names::email(first, last, u64::from(draw.below(1_000_000)));
            copernica.create_profile("People", &[("firstname", first), ("lastname", last), ("email", &email)]).ok()?;
            return Some(format!("{first} {last} was added to People"));
        }
        if (15..30).contains(&choice) {
            return self.change_subprofile(draw);
        }
        let database = if draw.below(10) < 8 { "People" } else { "Companies" };
        let id = copernica.draw_profile(database, draw.share())?;
        let name = copernica.name_of(&id).unwrap_or_else(|| id.clone());
        match choice {
            30..40 => {
                let all = ["soccer", "tennis", "jazz", "opera", "wine", "newsletter"];
                let chosen: Vec<&str> = all.into_iter().filter(|_| draw.below(3) == 0).collect();
                let changed = copernica.set_interests(&id, &chosen).ok()?;
                changed.then(|| {
                    format!("{name} likes {}", if chosen.is_empty() { "nothing now".into() } else { chosen.join(", ") })
                })
            }
            40..48 => {
                copernica.delete_profile(&id).ok()?;
                Some(format!("{name} was removed from {database}"))
            }
            48..50 => {
                copernica.unsubscribe(&id).ok()?;
                Some(format!("{name} unsubscribed"))
            }
            50..60 => {
                let company = copernica.draw_profile("Companies", draw.share())?;
                let field = if database == "People" { "company" } else { "parent" };
                let to = (draw.below(5) > 0).then_some(company.as_str());
                let changed = copernica.set_foreign_key(&id, field, to).ok()?;
                let employer = to.and_then(|to| copernica.name_of(to)).unwrap_or_else(|| "no company".to_owned());
                changed.then(|| format!("{name} belongs to {employer} now"))
            }
            _ => {
                let (field, value) = self.copernica_value(database, draw);
                let changed = copernica.update_profile(&id, &[(field, &value)]).ok()?;
                changed.then(|| format!("{name}: {} changed", field.replace('_', " ")))
            }
        }
    }

    fn copernica_value(&self, database: &str, draw: &mut Draw) -> (&'static str, String) {
        let rng = &mut draw.0;
        match (database, rng.random_range(0..6)) {
            ("People", 0) => ("phone", names::phone(rng)),
            ("People", 1) => ("notes", names::note(rng).to_owned()),
            ("People", 2) => ("score", (f64::from(rng.random_range(0..1000)) / 10.0).to_string()),
            ("People", 3) => ("birthday", names::birthday(rng)),
            ("People", 4) => ("lastname", names::person(rng).1.to_owned()),
            ("People", _) => ("country", names::country(rng).to_owned()),
            (_, 0..3) => ("city", names::city(rng).to_owned()),
            _ => ("founded", rng.random_range(1890..2025).to_string()),
        }
    }

    fn change_subprofile(&self, draw: &mut Draw) -> Option<String> {
        let copernica = self.copernica();
        match draw.below(4) {
            0 => {
                let id = copernica.draw_subprofile("Orders", draw.share())?;
                let status = ["open", "paid", "shipped", "returned"][draw.below(4) as usize];
                let changed = copernica.update_subprofile(&id, &[("status", status)]).ok()?;
                changed.then(|| format!("order {id} is {status}"))
            }
            1 => {
                let id = copernica.draw_subprofile("Visits", draw.share())?;
                copernica.delete_subprofile(&id).ok()?;
                Some(format!("visit {id} was removed"))
            }
            kind => {
                let id = copernica.draw_profile("People", draw.share())?;
                let name = copernica.name_of(&id).unwrap_or_else(|| id.clone());
                if kind == 2 {
                    let number = format!("SO-{:06}", draw.below(1_000_000));
                    let amount = (f64::from(draw.below(50_000)) / 100.0).to_string();
                    copernica
                        .create_subprofile(
                            &id,
                            "Orders",
                            &[("order_number", &number), ("amount", &amount), ("status", "open")],
                        )
                        .ok()?;
                    Some(format!("{name} ordered for {amount}"))
                } else {
                    copernica.create_subprofile(&id, "Visits", &[("page", "/shop"), ("seconds", "42")]).ok()?;
                    Some(format!("{name} visited the shop"))
                }
            }
        }
    }

    fn change_parallel(&self, draw: &mut Draw) -> Option<String> {
        let parallel = self.parallel();
        let choice = draw.below(100);
        if choice < 12 {
            let kind = ["Individual", "Legal entity", "Matter"][draw.below(3) as usize];
            let id = parallel.create_random_profile(kind).ok()?;
            let name = parallel.name_of(&id).unwrap_or(id);
            return Some(format!("{name} was created as {}", kind.to_lowercase()));
        }
        let (id, name, kind) = parallel.draw_profile(draw.share())?;
        match choice {
            12..20 => parallel.close(&id).ok().map(|()| format!("{name} was closed")),
            20..28 => parallel.reopen(&id).ok().map(|()| format!("{name} was reopened")),
            28..33 => {
                let at = self.now() + Duration::days(i64::from(draw.below(60)) + 1);
                parallel.schedule_for_deletion(&id, at).ok()?;
                Some(format!("{name} is to be deleted on {}", at.format("%d %B %Y")))
            }
            33..36 => parallel.anonymize(&id).ok().map(|()| format!("{name} was anonymized")),
            36..38 => parallel.vanish(&id).ok().map(|()| format!("{name} vanished without a word")),
            38..40 => {
                parallel.emit_unknown_event(&id, "PROFILE_BLESSED").ok()?;
                Some(format!("an event of an unknown type about {name}"))
            }
            40..52 => {
                let (other, other_name, other_kind) = parallel.draw_profile(draw.share())?;
                let alias = match (kind, other_kind) {
                    (1, 1) => "p_parent__child",
                    (0, 1) => "p_director__managed_by",
                    (_, 2) => "p_client__matter",
                    _ => "Knows",
                };
                parallel.create_relationship(alias, &id, &other).ok()?;
                Some(format!("{name} and {other_name} were linked"))
            }
            52..60 => {
                let relationship = parallel.a_relationship_of(&id)?;
                parallel.remove_relationship(&relationship).ok()?;
                Some(format!("a link of {name} was removed"))
            }
            _ => {
                let (field, value) = parallel_value(kind, draw);
                let value = (draw.below(8) > 0).then_some(value);
                // Now and then a company loses its name.
                let field = if value.is_none() && field == "p_client_status" { "p_entity_name" } else { field };
                let what = if value.is_some() { "changed" } else { "was emptied" };
                let changed = parallel.set_field(&id, field, value).ok()?;
                changed.then(|| format!("{name}: {} {what}", field.trim_start_matches("p_").replace('_', " ")))
            }
        }
    }

    fn change_getprofile(&self, draw: &mut Draw) -> Option<String> {
        let getprofile = self.getprofile();
        let choice = draw.below(100);
        if choice < 15 {
            let id = getprofile.create_random();
            return Some(format!("{id} was heard of for the first time"));
        }
        if choice < 19
            && let Some(id) = getprofile.draw_deleted(draw.share())
        {
            getprofile.create_randomly_as(&id);
            return Some(format!("{id} came back after it was deleted"));
        }
        if choice < 45 {
            getprofile.step_all();
            return Some("profiles under way came a step nearer to ready".to_owned());
        }
        let (id, name) = getprofile.draw_profile(draw.share())?;
        if choice < 50 {
            getprofile.delete(&id).ok()?;
            return Some(format!("{name} was deleted without a word"));
        }
        getprofile.update_randomly(&id).ok()?;
        Some(format!("{name} told us something new"))
    }
}

fn parallel_value(kind: usize, draw: &mut Draw) -> (&'static str, Value) {
    let rng = &mut draw.0;
    match (kind, rng.random_range(0..4)) {
        (0, 0) => ("p_phone_number", json!(names::phone(rng))),
        (0, 1) => ("p_country_of_residence", json!(names::country(rng))),
        (0, 2) => ("p_risk_score", json!(rng.random_range(0..100))),
        (0, _) => ("p_birth_date", json!(names::birthday(rng))),
        (1, 0) => ("p_share_capital", json!(rng.random_range(1..9_000_000))),
        (1, 1) => ("p_country_of_incorporation", json!(names::country(rng))),
        (1, _) => ("p_client_status", json!(["PROSPECT", "CLIENT", "FORMER"][rng.random_range(0..3)])),
        (_, 0) => ("matter_area", json!(["TAX", "LABOUR", "MERGERS"][rng.random_range(0..3)])),
        _ => ("matter_value", json!(rng.random_range(1_000..500_000))),
    }
}
