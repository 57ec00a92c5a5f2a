//! Answers to fetches that come late, twice, or cannot be applied.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::refusal::Refusal;
use crate::support::webhook::{getprofile_event, parallel_event, signed};
use entity::{DeliveryKind, DeliveryState, delivery, fetch_request};
use profile_mirror::db::Dialect;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use simulator::FailureKind;
use simulator::ProviderKind::{GetProfile, Parallel};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(120);

fn a_person(app: &TestApp) -> String {
    let open = |id: &String| app.simulator.truth(Parallel).profiles[id].status == simulator::TruthStatus::Open;
    app.simulator.parallel().profile_ids("Individual").into_iter().find(open).expect("an open person")
}

async fn set_score(app: &TestApp, person: &str, score: i32) {
    app.simulator.parallel().silently().set_field(person, "p_risk_score", Some(json!(score))).unwrap();
    let event = parallel_event("PROFILE_FIELD_VALUE_UPDATED", person, json!({}));
    assert_eq!(app.post(&signed(app, Parallel, event)).await, 200);
}

async fn score(app: &TestApp, person: &str) -> Value {
    let shown = app.profile(Parallel, person).await;
    let fields = shown["fields"].as_array().unwrap().clone();
    fields.into_iter().find(|field| field["name"] == "p_risk_score").map(|field| field["value"].clone()).unwrap()
}

/// The state of the newest delivery of a kind.
async fn newest(app: &TestApp, kind: DeliveryKind) -> Option<DeliveryState> {
    let newest = delivery::Entity::find().filter(delivery::Column::Kind.eq(kind)).order_by_desc(delivery::Column::Id);
    newest.one(app.database().primary()).await.unwrap().map(|row| row.state)
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

async fn fetches(app: &TestApp) -> u64 {
    let fetches = delivery::Entity::find().filter(delivery::Column::Kind.eq(DeliveryKind::Fetch));
    fetches.count(app.database().primary()).await.unwrap()
}

both!(a_late_answer_does_not_end_a_request_that_news_has_renewed, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    let before = fetches(&app).await;
    let first = app.simulator.pause_next(&person);
    set_score(&app, &person, 111).await;
    first.reached().await;

    // News comes while the first call hangs; its claim runs out, and a second call is made, which will fail.
    set_score(&app, &person, 222).await;
    until("the news is applied", async || app.unsettled_in_all().await == 0).await;
    let second = app.simulator.pause_next(&person);
    app.simulator.faults(Parallel).fail_next_at(&person, 1, FailureKind::Status500);
    app.clock.advance_ms(100_000);
    second.reached().await;

    first.release();
    until("the late answer is applied", async || {
        fetches(&app).await > before && newest(&app, DeliveryKind::Fetch).await == Some(DeliveryState::Applied)
    })
    .await;
    second.release();
    app.drain().await;
    assert_eq!(score(&app, &person).await, 222, "the news is looked up all the same");
    app.finish().await;
});

both!(of_two_answers_that_are_applied_together_the_later_one_says_how_their_request_goes_on, |database| {
    let app = TestApp::imported(&database).await;
    let getprofile = app.simulator.getprofile();
    let persona = getprofile.profile_ids().remove(0);
    let before = fetches(&app).await;
    // The first answer is made while the persona is under way, and comes when its claim has run out.
    getprofile.silently().update_randomly(&persona).unwrap();
    let first = app.simulator.pause_next(&persona);
    let event = getprofile_event("profile.updated", &getprofile.tenant(), &persona);
    assert_eq!(app.post(&signed(&app, GetProfile, event)).await, 200);
    first.reached().await;
    getprofile.silently().settle();
    // Something else comes in between, so that the answers are not copies of one another.
    let other = getprofile_event("profile.unheard_of", &getprofile.tenant(), &persona);
    assert_eq!(app.post(&signed(&app, GetProfile, other)).await, 200);
    let second = app.simulator.pause_next(&persona);
    app.clock.advance_ms(100_000);
    second.reached().await;

    let refusal = Refusal::of(app.database(), "NEW.kind = 'fetch'").await;
    first.release();
    until("the first is kept", async || fetches(&app).await == before + 1).await;
    second.release();
    until("the second is kept", async || fetches(&app).await == before + 2).await;
    until("both have failed", async || {
        let fetches = delivery::Entity::find()
            .filter(delivery::Column::Kind.eq(DeliveryKind::Fetch))
            .filter(delivery::Column::Attempts.gt(0));
        fetches.count(app.database().primary()).await.unwrap() == 2
    })
    .await;
    refusal.end(app.database()).await;
    app.clock.advance_ms(600_000);
    app.drain().await;
    let left = fetch_request::Entity::find().count(app.database().primary()).await.unwrap();
    assert_eq!(left, 0, "the request is over");
    app.finish().await;
});

both!(a_call_that_fails_after_many_answers_that_say_not_ready_is_tried_again, |database| {
    let app = TestApp::imported(&database).await;
    let getprofile = app.simulator.getprofile();
    let persona = getprofile.profile_ids().remove(0);
    getprofile.silently().update_randomly(&persona).unwrap();
    let event = getprofile_event("profile.updated", &getprofile.tenant(), &persona);
    app.simulator.forget_requests();
    assert_eq!(app.post(&signed(&app, GetProfile, event)).await, 200);
    for number in 1..=13 {
        if number == 12 {
            app.simulator.faults(GetProfile).fail_next_at(&persona, 1, FailureKind::Status500);
        }
        until("it is asked for once more", async || {
            app.clock.advance_ms(500);
            app.simulator.requests_to(&persona) >= number
        })
        .await;
    }
    getprofile.silently().settle();
    app.drain().await;
    let left = fetch_request::Entity::find().all(app.database().primary()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    app.finish().await;
});

both!(a_profile_is_fetched_again_after_an_answer_that_could_not_be_applied, |database| {
    let app = TestApp::imported(&database).await;
    let person = a_person(&app);
    let db = app.database().writer();
    let (poison, antidote) = match database.dialect {
        Dialect::Sqlite => (
            format!(
                "CREATE TRIGGER poison BEFORE UPDATE ON profile WHEN NEW.external_id = '{person}' \
                 BEGIN SELECT RAISE(ABORT, 'poison'); END"
            ),
            "DROP TRIGGER poison",
        ),
        Dialect::Postgres => (
            format!(
                "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'poison'; END $$; \
                 CREATE TRIGGER poison BEFORE UPDATE ON profile FOR EACH ROW \
                 WHEN (NEW.external_id = '{person}') EXECUTE FUNCTION poison()"
            ),
            "DROP TRIGGER poison ON profile",
        ),
    };
    db.execute_unprepared(&poison).await.unwrap();
    let before = fetches(&app).await;
    set_score(&app, &person, 333).await;
    until("the answer is parked", async || {
        app.clock.advance_ms(2_000);
        fetches(&app).await > before && newest(&app, DeliveryKind::Fetch).await == Some(DeliveryState::Parked)
    })
    .await;

    db.execute_unprepared(antidote).await.unwrap();
    set_score(&app, &person, 444).await;
    until("it is fetched again", async || fetches(&app).await > before + 1).await;
    app.drain().await;
    assert_eq!(score(&app, &person).await, 444);
    app.finish().await;
});
