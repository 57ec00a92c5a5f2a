//! Search finds the same profiles on both databases, and the same as in memory.

use super::mirror::{Mirror, scored};
use crate::support::app::TestApp;
use crate::support::both;
use entity::{profile, profile_search};
use profile_mirror::apply::Indexer;
use profile_mirror::mirror::read::{Limit, Order, Page, Place, Predicate, SortKey, Sought};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;
use tokio_util::sync::CancellationToken;

async fn fill(mirror: &Mirror) {
    Indexer::new(mirror.db.clone(), []).run(CancellationToken::new()).await;
}

async fn people(mirror: &Mirror) {
    let people = [
        ("anna", Some("Anna Smith"), Some("anna@example.com"), json!({ "city": "Delft", "age": 42 })),
        ("bert", Some("Bert Jansen"), None, json!({ "city": "Smithfield", "notes": ["knows anna", "owes 12"] })),
        ("carl", Some("Carl O'Brien-Müller"), None, json!({ "job": scored("Smith & Söhne") })),
        ("none", None, None, json!({ "empty": "", "deep": { "x": "anna" } })),
    ];
    for (id, name, email, fields) in people {
        let mut row = mirror.row(id, fields);
        row.display_name = name.map(str::to_owned);
        row.email = email.map(str::to_owned);
        mirror.put(row).await;
    }
}

both!(search_takes_all_words_and_the_beginning_of_the_last, |database| {
    let mirror = Mirror::new(&database).await;
    people(&mirror).await;
    fill(&mirror).await;
    let sources = mirror.reader.sources().await.unwrap();
    let rows = profile::Entity::find().all(mirror.db.primary()).await.unwrap();
    for (typed, expected) in [
        ("smith", &["anna", "bert", "carl"][..]),
        ("SMITH ann", &["anna"]),
        ("anna jans", &["bert"]),
        ("ann smith", &[]),
        ("muller", &["carl"]),
        ("MÜLLER o", &["carl"]),
        ("example.com", &["anna"]),
        ("12", &["bert"]),
        ("42", &[]),
        ("\"anna\" OR *", &[]),
        ("anna) NEAR(\"smith", &[]),
        ("-smith*:\0", &["anna", "bert", "carl"]),
        ("name : anna", &[]),
        ("'anna' | 'x':*", &[]),
    ] {
        let predicate = Predicate::Search(Sought::read(typed).unwrap());
        assert_eq!(mirror.ids(&predicate, &[]).await, expected, "{typed}");
        let in_memory = rows.iter().filter(|row| predicate.accepts(row, None, &sources));
        assert_eq!(in_memory.map(|row| row.external_id.as_str()).collect::<Vec<_>>(), expected, "{typed} in memory");
    }
});

both!(what_has_all_of_it_in_its_name_ranks_first_and_pages_keep_the_rank, |database| {
    let mirror = Mirror::new(&database).await;
    for number in 0..24 {
        let mut row = mirror.row(&format!("p{number:02}"), json!({ "city": "Smithfield" }));
        row.display_name = (number % 3 == 0).then(|| format!("Ann{number} Smith"));
        mirror.put(row).await;
    }
    fill(&mirror).await;
    let sought = Sought::read("smi").unwrap();
    let predicate = Predicate::Search(sought.clone());
    for is_descending in [false, true] {
        let order = [Order { key: SortKey::Relevance(sought.clone()), is_descending }];
        let all = mirror.ids(&predicate, &order).await;
        let is_named = |id: &String| id[1..].parse::<u32>().unwrap() % 3 == 0;
        let (first, last) = if is_descending { all.split_at(16) } else { all.split_at(8) };
        assert!(first.iter().all(|id| is_named(id) != is_descending), "{all:?}");
        assert!(last.iter().all(|id| is_named(id) == is_descending), "{all:?}");
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = Page { limit: Limit::First(5), after: after.take(), before: None };
            let slice = mirror.reader.profiles(Some(&predicate), &order, &page).await.unwrap();
            after = slice.rows.last().map(|row| Place::of(row, &order));
            seen.extend(slice.rows.into_iter().map(|row| row.external_id));
            if !slice.has_next {
                break;
            }
        }
        assert_eq!(seen, all);
    }
});

both!(words_are_made_for_a_mirror_from_before_there_was_a_search, |database| {
    let mirror = Mirror::new(&database).await;
    let rows = (0..500).map(|number| mirror.row(&format!("p{number}"), json!({ "x": format!("word{number}") })));
    mirror.put_all(rows).await;
    let mut hidden = mirror.row("placeholder", json!({ "x": "word" }));
    hidden.is_known = false;
    mirror.put(hidden).await;
    fill(&mirror).await;
    assert_eq!(profile_search::Entity::find().count(mirror.db.primary()).await.unwrap(), 500);
    let predicate = Predicate::Search(Sought::read("word499").unwrap());
    assert_eq!(mirror.ids(&predicate, &[]).await, ["p499"]);
});

const FIND: &str = "query ($typed: String!) {
  profiles(first: 10, filter: { search: $typed }, orderBy: { field: RELEVANCE }) { totalCount nodes { externalId } } }";

async fn found(app: &TestApp, typed: &str) -> Vec<String> {
    let data = app.client().query(FIND, json!({ "typed": typed })).await;
    let nodes = data["profiles"]["nodes"].as_array().unwrap().clone();
    assert_eq!(data["profiles"]["totalCount"], nodes.len());
    nodes.iter().map(|node| node["externalId"].as_str().unwrap().to_owned()).collect()
}

both!(words_follow_what_happens_to_a_profile, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let truth = app.simulator.truth(Parallel);
    let is_open = |id: &String| truth.profiles[id].status == simulator::TruthStatus::Open;
    let person = parallel.profile_ids("Individual").into_iter().find(is_open).unwrap();
    assert_eq!(found(&app, "zanzibar").await, Vec::<String>::new());
    parallel.set_field(&person, "p_last_name", Some(json!("Zanzibar"))).unwrap();
    app.settle().await;
    assert_eq!(found(&app, "zanz").await, std::slice::from_ref(&person));
    parallel.set_field(&person, "p_last_name", Some(json!("Yonkers"))).unwrap();
    app.settle().await;
    assert_eq!(found(&app, "zanz").await, Vec::<String>::new());
    assert_eq!(found(&app, "yonkers").await, std::slice::from_ref(&person));
    parallel.anonymize(&person).unwrap();
    app.settle().await;
    assert_eq!(found(&app, "yonkers").await, Vec::<String>::new());
    app.finish().await;
});

both!(a_search_without_words_and_a_rank_without_a_search_are_refused, |database| {
    let app = TestApp::builder(&database).profiles(5).start().await;
    for arguments in [
        "filter: { search: \" -*\" }",
        "filter: { search: \"a b c d e f g h i j k\" }",
        "orderBy: { field: RELEVANCE }",
        "orderBy: { }",
        "orderBy: { field: EMAIL, fieldName: \"x\" }",
        "filter: { subprofile: { collection: \"x\" } }",
        "filter: { relatedTo: { profile: { relatedTo: { } } } }",
        "filter: { relatedTo: { id: \"x\" } }",
    ] {
        let query = format!("{{ profiles(first: 1, {arguments}) {{ nodes {{ id }} }} }}");
        assert_eq!(app.client().codes(&query, Value::Null).await, ["BAD_USER_INPUT"], "{arguments}");
    }
    app.finish().await;
});
