use super::*;
use crate::config;
use crate::mirror::read::Reader;
use crate::mirror::read::fixture::Fixture;
use crate::publish::Publisher;
use crate::serve::edge::engine::Engine;
use crate::serve::edge::registered::Registered;
use crate::serve::edge::wire::Parameters;
use crate::serve::health_watch::HealthWatch;
use crate::serve::operations::fixture::NoStages;
use crate::serve::run_watch::RunWatch;
use ::entity::{ChangeKind, profile};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Served {
    fixture: Fixture,
    publisher: Arc<Publisher>,
    reader: Reader,
    engine: Engine,
    crm: i32,
    profile: i64,
    _stop: tokio_util::sync::DropGuard,
}

type Answers = BoxStream<'static, Answered>;

impl Served {
    async fn start() -> Self {
        let fixture = Fixture::new().await;
        let crm = fixture.source("crm").await;
        let person = fixture.profile_type(crm, "person", "Person").await;
        fixture.fields(Some(person), None, &[("city", "text")]).await;
        let profile = fixture.profile(crm, "p", |row| row.profile_type_id = Set(Some(person))).await;
        let publisher = Publisher::new(fixture.db.clone(), fixture.clock.clone());
        let stop = CancellationToken::new();
        tokio::spawn({
            let (publisher, stop) = (Arc::clone(&publisher), stop.clone());
            async move { publisher.run(stop).await }
        });
        let (reader, operations) = (Reader::new(fixture.db.clone()), Arc::new(NoStages));
        let (never, tasks) = (CancellationToken::new(), TaskTracker::new());
        let runs = RunWatch::new(reader.clone(), never.clone(), tasks.clone());
        let clock = fixture.clock.clone();
        let health = HealthWatch::new(reader.clone(), clock.clone(), operations.clone(), never, tasks);
        let api = Api::new(reader.clone(), Arc::clone(&publisher), clock.clone(), operations, runs, health);
        let engine = Engine::new(api, Registered::default(), config::Server::default(), clock);
        Self { fixture, publisher, reader, engine, crm, profile, _stop: stop.drop_guard() }
    }

    fn subscribe(&self, after: Value) -> Answers {
        self.subscribe_to(&Value::Null, after)
    }

    fn subscribe_to(&self, kinds: &Value, after: Value) -> Answers {
        let query = "subscription ($after: Cursor, $kinds: [ChangeKind!]) {
            profileChanges(after: $after, kinds: $kinds) { __typename
            ... on ProfileChange { cursor change { id kind } profile { displayName fields { name } interests { name } } }
            ... on CaughtUp { cursor } ... on Interrupted { cursor } } }";
        let variables = [("after".to_owned(), after), ("kinds".to_owned(), kinds.clone())];
        let variables = Map::from_iter(variables);
        let parameters = Parameters { query: Some(query.to_owned()), variables, ..Parameters::default() };
        let prepared = self.engine.prepare(parameters, Viewer::named("test", Role::Reader));
        self.engine.subscribe(prepared.map_err(|fault| fault.message).unwrap()).boxed()
    }

    async fn name(&self, name: Option<&str>) {
        let mut row = profile::ActiveModel { id: Set(self.profile), ..Default::default() };
        row.display_name = Set(name.map(str::to_owned));
        profile::Entity::update(row).exec(self.fixture.db.writer()).await.unwrap();
    }

    async fn commit(&self, count: i64) {
        self.commit_of(ChangeKind::Updated, count).await;
    }

    async fn commit_of(&self, kind: ChangeKind, count: i64) {
        self.fixture.changes(self.crm, self.profile, kind, count).await;
        self.publisher.ring();
    }
}

async fn next(answers: &mut Answers) -> Value {
    let answered = tokio::time::timeout(Duration::from_secs(20), answers.next()).await;
    let answered: Value = serde_json::from_str(&answered.expect("in time").expect("not the end").json).unwrap();
    assert!(answered.get("errors").is_none(), "{answered}");
    answered["data"]["profileChanges"].clone()
}

/// The ids of the next changes.
async fn changes(answers: &mut Answers, count: i64) -> Vec<Value> {
    let mut ids = Vec::new();
    while ids.len() < usize::try_from(count).unwrap() {
        let event = next(answers).await;
        if event["__typename"] == "ProfileChange" {
            ids.push(event["change"]["id"].clone());
        }
    }
    ids
}

#[tokio::test]
async fn a_change_costs_one_execution_however_many_ask_for_the_same() {
    let served = Served::start().await;
    let mut all = Vec::new();
    for _ in 0..40 {
        let mut answers = served.subscribe(Value::Null);
        assert_eq!(next(&mut answers).await["__typename"], "CaughtUp");
        all.push(answers);
    }
    // The first of them began alone, and joins the others with its first change.
    served.commit(1).await;
    for answers in &mut all {
        next(answers).await;
    }
    let before = served.reader.statements();
    served.commit(1).await;
    let mut told = Vec::new();
    for answers in &mut all {
        told.push(next(answers).await);
    }
    assert_eq!(served.reader.statements() - before, 1, "the interests are read once");
    assert!(told.iter().all(|event| *event == told[0]) && told[0]["__typename"] == "ProfileChange", "{told:?}");
}

#[tokio::test]
async fn who_falls_behind_or_comes_from_elsewhere_gets_each_change_once() {
    let served = Served::start().await;
    served.commit(20).await;
    let mut first = served.subscribe(Value::Null);
    let start = next(&mut first).await["cursor"].clone();
    let mut late = served.subscribe(start.clone());
    next(&mut late).await;
    let count = 5 * i64::from(BEHIND);
    served.commit(count).await;
    let mut third = served.subscribe(start);
    let told = changes(&mut first, count).await;
    assert_eq!(told.iter().collect::<HashSet<_>>().len(), told.len());
    for answers in [&mut late, &mut third] {
        assert_eq!(changes(answers, count).await, told);
    }
    served.publisher.end_feeds();
    for answers in [&mut first, &mut late, &mut third] {
        let mut last = json!(null);
        while let Some(answered) = answers.next().await {
            last = serde_json::from_str(&answered.json).unwrap();
        }
        assert_eq!(last["data"]["profileChanges"]["__typename"], "Interrupted", "{last}");
    }
}

#[tokio::test]
async fn nobody_outruns_the_fastest_of_those_who_share() {
    let served = Served::start().await;
    let mut stalled = served.subscribe(Value::Null);
    let start = next(&mut stalled).await["cursor"].clone();
    let count = 5 * u64::from(BEHIND);
    served.commit(count.cast_signed()).await;
    let before = served.reader.statements();
    let mut reading = served.subscribe(start);
    for _ in 0..count {
        assert_eq!(next(&mut reading).await["__typename"], "ProfileChange");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    // The interests of each change are read once, beside what it takes to begin.
    let statements = served.reader.statements() - before;
    assert!(statements < count + 20, "{statements} for {count} changes");
}

#[tokio::test]
async fn who_comes_new_does_not_wait_for_those_who_stall() {
    let served = Served::start().await;
    let mut first = served.subscribe(Value::Null);
    let start = next(&mut first).await["cursor"].clone();
    let mut second = served.subscribe(start);
    let count = 5 * i64::from(BEHIND);
    served.commit(count).await;
    let before = served.reader.statements();
    let mut told = changes(&mut first, 1).await;
    // What the two share is told as far as it may be, and stands there.
    let held_up = async || {
        while served.reader.statements() - before < BEHIND.into() {
            tokio::time::sleep(Duration::from_millis(2)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held_up()).await.expect("in time");
    let mut new = served.subscribe(Value::Null);
    assert_eq!(next(&mut new).await["__typename"], "CaughtUp");
    let before = served.reader.statements();
    served.commit(1).await;
    told.extend(changes(&mut new, 1).await);
    let statements = served.reader.statements() - before;
    assert!(statements < 20, "{statements} for one change");

    // Nobody takes what the shared one has to tell, so that it ends, and those who read share another.
    let mut newer = served.subscribe(Value::Null);
    assert_eq!(next(&mut newer).await["__typename"], "CaughtUp");
    let mut share = async || {
        let mut told = Vec::new();
        loop {
            let before = served.reader.statements();
            served.commit(1).await;
            let change = changes(&mut new, 1).await;
            assert_eq!(changes(&mut newer, 1).await, change);
            told.extend(change);
            if served.reader.statements() - before == 1 {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut told = [told, tokio::time::timeout(Duration::from_secs(20), share()).await.expect("in time")].concat();

    let since = told.split_off(1);
    told.extend(changes(&mut first, count - 1).await);
    told.extend(since);
    let newest = told.len() - usize::try_from(count).unwrap();
    assert_eq!(changes(&mut first, i64::try_from(newest).unwrap()).await, told[told.len() - newest..]);
    assert_eq!(changes(&mut second, i64::try_from(told.len()).unwrap()).await, told);
}

#[tokio::test]
async fn who_comes_new_joins_those_of_whom_nothing_is_told_for_long() {
    let served = Served::start().await;
    let kinds = json!(["CREATED"]);
    let mut all = [Value::Null, Value::Null].map(|after| served.subscribe_to(&kinds, after));
    for answers in &mut all {
        next(answers).await;
    }
    let mut join = async || {
        loop {
            served.commit(2 * i64::from(BEHIND)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut new = served.subscribe_to(&kinds, Value::Null);
            assert_eq!(next(&mut new).await["__typename"], "CaughtUp");
            let before = served.reader.statements();
            served.commit_of(ChangeKind::Created, 1).await;
            let change = changes(&mut new, 1).await;
            for answers in &mut all {
                assert_eq!(changes(answers, 1).await, change);
            }
            if served.reader.statements() - before == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), join()).await.expect("in time");
}

#[tokio::test]
async fn what_waits_for_a_subscriber_is_not_sent_once_it_is_erased() {
    let served = Served::start().await;
    served.name(Some("Ada")).await;
    let mut first = served.subscribe(Value::Null);
    let start = next(&mut first).await["cursor"].clone();
    let mut second = served.subscribe(start);
    served.commit(2).await;
    changes(&mut first, 2).await;
    changes(&mut second, 2).await;
    served.commit(2).await;
    assert_eq!(next(&mut first).await["profile"]["displayName"], "Ada");
    next(&mut first).await;

    served.name(None).await;
    served.commit_of(ChangeKind::Anonymized, 1).await;
    for answers in [&mut first, &mut second] {
        while {
            let event = next(answers).await;
            assert_eq!(event["profile"]["displayName"], Value::Null, "{event}");
            event["change"]["kind"] != "ANONYMIZED"
        } {}
    }
}
