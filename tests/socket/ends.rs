//! How operations end: by the client before there is a result, by an error while they run, by themselves, with their socket.
//! Results are held back, and errors made, in the database, so that some of it runs on both.

use super::*;
use crate::support::app::ADMIN;
use crate::support::both;
use crate::support::place::TestDatabase;
use crate::upstream::until;
use entity::{ChangeKind, RecordKind, change, profile, source_state};
use profile_mirror::clock::Clock;
use profile_mirror::db::{self, Database};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};
use simulator::ProviderKind;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// A mutation that writes how a source stands, and changes nothing.
const RESUME: &str = "mutation { resumeSource(source: \"crm\") { problems { code } } }";
/// A subscription that tells nothing as long as no run goes on.
const RUNS: &str = "subscription { syncProgress { state } }";
/// A subscription whose filter looks into the database at each change.
const PLAYERS: &str = "subscription { profileChanges(filter: { interest: { has: \"chess\" } }) { __typename } }";

/// Keeps everybody else from writing how sources stand.
struct Hold {
    db: Database,
    transaction: DatabaseTransaction,
}

impl Hold {
    async fn on(database: &TestDatabase) -> Self {
        let db = db::connect(&database.url, None).await.unwrap();
        let transaction = db.begin().await.unwrap();
        transaction.execute_unprepared("UPDATE source_state SET probes = probes").await.unwrap();
        Self { db, transaction }
    }

    async fn release(self) {
        self.transaction.rollback().await.unwrap();
        self.db.close().await.unwrap();
    }
}

/// A socket of somebody who may change things.
async fn greeted_as_admin(app: &TestApp) -> Frames {
    let mut frames = Frames::open(app).await;
    frames.say(init(ADMIN)).await;
    assert_eq!(frames.hear_message().await["type"], "connection_ack");
    frames
}

/// Commits a change of some profile to the log, as apply would.
async fn commit_change(app: &TestApp) {
    let transaction = app.database().begin().await.unwrap();
    let known = profile::Entity::find().filter(profile::Column::IsKnown.eq(true)).one(&transaction).await.unwrap();
    let known = known.expect("a profile");
    let state = source_state::Entity::find_by_id(known.source_id).one(&transaction).await.unwrap().expect("a state");
    let revision = state.revision + 1;
    let row = change::Model {
        source_id: known.source_id,
        revision,
        kind: ChangeKind::Updated,
        profile_id: known.id,
        record_kind: RecordKind::Profile,
        record_id: known.external_id,
        at: app.clock.now(),
        upstream_at: None,
        fields: json!([]),
        delivery_id: known.delivery_id.unwrap_or(1),
        cause: "update".to_owned(),
        is_erased: false,
    };
    change::Entity::insert_many([row.into_active_model()]).exec(&transaction).await.unwrap();
    source_state::Entity::update_many()
        .col_expr(source_state::Column::Revision, Expr::val(revision))
        .filter(source_state::Column::SourceId.eq(known.source_id))
        .exec(&transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

both!(what_is_completed_before_its_result_is_never_answered_and_its_id_is_free, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut frames = greeted_as_admin(&app).await;
    let hold = Hold::on(&database).await;
    frames.say(subscribe("a", RESUME)).await;
    frames.say(subscribe("b", RESUME)).await;
    assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "both wait for the database");
    frames.say(complete("a")).await;
    assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "a completion is not answered");
    frames.start_changes("a").await;
    hold.release().await;
    let payload = json!({ "resumeSource": { "problems": [] } });
    let next = frames.hear_message().await;
    assert_eq!((&next["type"], &next["id"], &next["payload"]["data"]), (&json!("next"), &json!("b"), &payload));
    assert_eq!(frames.hear_message().await, complete("b"), "it was waited for, as the other would have been");

    app.simulator.random_history(ProviderKind::Copernica, 20);
    app.settle().await;
    for _ in 0..3 {
        let payload = json!({ "data": { "profileChanges": { "__typename": "ProfileChange" } } });
        assert_eq!(frames.hear_message().await, json!({ "id": "a", "type": "next", "payload": payload }));
    }
    app.finish_apart_from_world().await;
});

both!(an_id_is_in_use_while_its_result_is_waited_for, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut frames = greeted_as_admin(&app).await;
    let hold = Hold::on(&database).await;
    frames.say_at_once([subscribe("a", RESUME), subscribe("a", VIEWER)]).await;
    assert_eq!(frames.hear().await, Heard::Closed(4409, "Subscriber for a already exists".into()));
    hold.release().await;
    app.finish_apart_from_world().await;
});

both!(a_subscription_that_is_completed_before_its_first_event_gets_none, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut frames = greeted_as_admin(&app).await;
    frames.say_at_once([subscribe("a", RUNS), subscribe("b", RUNS)]).await;
    assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "no run goes on");
    frames.say(complete("a")).await;
    assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
    let page = app.simulator.pause_next("/profiles?");
    app.begin_sync("crm").await;
    page.reached().await;
    let first = frames.hear_message().await;
    assert_eq!((&first["id"], &first["type"]), (&json!("b"), &json!("next")), "{first}");
    page.release();
    app.drain().await;
    loop {
        let told = frames.hear_message().await;
        assert_eq!((&told["id"], &told["type"]), (&json!("b"), &json!("next")), "{told}");
        if told["payload"]["data"]["syncProgress"]["state"] == "DONE" {
            break;
        }
    }
    frames.start_changes("a").await;
    app.finish_apart_from_world().await;
});

both!(an_error_ends_the_subscription_that_runs_and_no_other, |database| {
    let app = TestApp::builder(&database).start().await;
    app.simulator.copernica().create_profile("People", &[("email", "one@example.com")]).unwrap();
    app.settle().await;
    let mut frames = Frames::greeted(&app).await;
    frames.say(subscribe("a", PLAYERS)).await;
    let caught_up = json!({ "data": { "profileChanges": { "__typename": "CaughtUp" } } });
    assert_eq!(frames.hear_message().await, json!({ "id": "a", "type": "next", "payload": caught_up }));
    frames.start_changes("b").await;
    app.database().writer().execute_unprepared("DROP TABLE profile_interest").await.unwrap();

    commit_change(&app).await;
    let heard = [frames.hear_message().await, frames.hear_message().await];
    let of = |id: &str| heard.iter().find(|message| message["id"] == id).unwrap_or_else(|| panic!("{heard:?}"));
    assert_eq!(of("b")["type"], "next");
    assert_eq!(of("a")["type"], "error", "it has begun, and cannot go on");
    let errors = of("a")["payload"].as_array().expect("a list of errors");
    assert_eq!(errors[0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");

    commit_change(&app).await;
    assert_eq!(frames.hear_message().await["id"], "b");
    frames.say(complete("a")).await;
    assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new(), "nothing comes after an error");
    frames.start_changes("a").await;
    app.finish_apart_from_world().await;
});

#[test]
fn a_stream_that_ends_by_itself_is_completed_behind_its_last_result() {
    with_service(async |app| {
        app.import("crm").await;
        let runs = app.client().query("{ syncRuns(first: 1) { nodes { id state } } }", json!({})).await;
        let run = &runs["syncRuns"]["nodes"][0];
        assert_eq!(run["state"], "DONE");
        let query = format!("subscription {{ syncProgress(run: {}) {{ state }} }}", run["id"]);
        let mut frames = greeted_as_admin(app).await;
        for _ in 0..2 {
            frames.say(subscribe("a", &query)).await;
            let payload = json!({ "data": { "syncProgress": { "state": "DONE" } } });
            assert_eq!(frames.hear_message().await, json!({ "id": "a", "type": "next", "payload": payload }));
            assert_eq!(frames.hear_message().await, complete("a"), "the id is free again");
        }
        assert_eq!(frames.hear_until_pong().await, Vec::<Value>::new());
    });
}

#[test]
fn what_runs_on_a_socket_ends_with_it() {
    with_service(async |app| {
        let mut frames = Frames::greeted(app).await;
        frames.start_changes("a").await;
        assert_eq!(app.followers(), 1);
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        frames.socket.close(Some(normal)).await.unwrap();
        assert_eq!(frames.hear_code().await, 1000);
        until("nobody follows", async || app.followers() == 0).await;

        let mut cut = Frames::greeted(app).await;
        cut.start_changes("a").await;
        drop(cut);
        until("nobody follows", async || app.followers() == 0).await;
    });
}
