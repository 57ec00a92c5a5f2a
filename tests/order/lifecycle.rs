//! Lifecycle events that overtake one another.

use crate::support::app::TestApp;
use crate::support::both;
use serde_json::{Value, json};
use simulator::ProviderKind::Parallel;
use simulator::{FailureKind, SignedWebhook, TruthStatus};

fn open_people(app: &TestApp) -> Vec<String> {
    let truth = app.simulator.truth(Parallel);
    let mut people = app.simulator.parallel().profile_ids("Individual");
    people.retain(|id| truth.profiles[id].status == TruthStatus::Open);
    people
}

/// Closes a person and opens them again ten seconds later: the events, and when the last was.
fn close_and_reopen(app: &TestApp, person: &str) -> (Vec<SignedWebhook>, Value) {
    app.simulator.parallel().close(person).unwrap();
    app.simulator.advance(chrono::Duration::seconds(10));
    app.simulator.parallel().reopen(person).unwrap();
    let events = app.simulator.take_webhooks();
    let last: Value = serde_json::from_slice(&events[1].body).unwrap();
    assert_eq!((events.len(), &last["type"]), (2, &json!("PROFILE_REOPENED")));
    (events, last["createdAt"].clone())
}

both!(a_history_is_the_same_in_whichever_order_its_events_arrive, |database| {
    let app = TestApp::imported(&database).await;
    let people = open_people(&app);
    let mut histories = Vec::new();
    for (person, is_reversed) in people.iter().zip([false, true]) {
        let (mut events, reopened_at) = close_and_reopen(&app, person);
        if is_reversed {
            events.reverse();
        }
        // No answer of upstream says meanwhile how it really is.
        app.simulator.faults(Parallel).fail_next_at(person, 20, FailureKind::Status500);
        for event in events {
            assert_eq!(app.post(&event).await, 200);
            app.drain_what_is_due().await;
        }
        app.simulator.faults(Parallel).clear();
        app.drain().await;
        let shown = app.profile(Parallel, person).await;
        assert_eq!((&shown["status"], &shown["lifecycle"]["since"]), (&json!("OPEN"), &reopened_at), "{is_reversed}");
        let history = shown["lifecycle"]["history"].as_array().unwrap().iter();
        histories.push(history.map(|step| (step["to"].clone(), step["cause"].clone())).collect::<Vec<_>>());
        let was_closed = app.kinds(Parallel, person).await.contains(&"CLOSED".to_owned());
        assert_ne!(was_closed, is_reversed, "nobody hears of what was over when it arrived");
    }
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[0].last(), Some(&(json!("OPEN"), json!("PROFILE_REOPENED"))));
    app.finish().await;
});

both!(a_change_of_status_tells_the_providers_own_word_for_it, |database| {
    let app = TestApp::imported(&database).await;
    let person = open_people(&app).remove(0);
    let before = app.kinds(Parallel, &person).await.len();
    app.simulator.parallel().close(&person).unwrap();
    app.settle().await;
    let shown = app.profile(Parallel, &person).await;
    let changes = &shown["history"]["nodes"].as_array().unwrap()[before..];
    let [closed] = changes else { panic!("one change: {changes:?}") };
    let word = closed["fields"].as_array().unwrap().iter().find(|field| field["name"] == "upstreamStatus");
    let word = word.map(|field| (&field["before"], &field["after"]));
    assert_eq!(word, Some((&json!("OPEN"), &json!("CLOSED"))), "{closed}");
    assert_eq!(shown["upstreamStatus"], "CLOSED");
    app.finish().await;
});

both!(the_date_of_a_scheduled_deletion_is_kept_where_an_answer_without_it_came_first, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    parallel.configure(|switches| switches.deletion_date_key = None);
    for (person, is_reversed) in open_people(&app).iter().zip([false, true]) {
        parallel.close(person).unwrap();
        app.settle().await;
        let date_in = |days| app.simulator.now() + chrono::Duration::days(days);
        let dates = [date_in(30), date_in(60)];
        let mut late = Vec::new();
        for date in dates {
            app.let_pass(2_000);
            parallel.schedule_for_deletion(person, date).unwrap();
            let mut event: Value = serde_json::from_slice(&app.simulator.take_webhooks().remove(0).body).unwrap();
            event["data"]["deletionDate"] = json!(date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
            late.push(event.to_string());
            parallel.reopen(person).unwrap();
            app.simulator.take_webhooks();
        }
        parallel.silently().schedule_for_deletion(person, dates[1]).unwrap();
        app.let_pass(2_000);
        parallel.emit_unknown_event(person, "PROFILE_UPDATED").unwrap();
        app.settle().await;
        let shown = app.profile(Parallel, person).await;
        let (status, date) = (&shown["status"], &shown["lifecycle"]["scheduledFor"]);
        assert_eq!((status, date), (&json!("SCHEDULED_FOR_DELETION"), &Value::Null));

        if is_reversed {
            late.reverse();
        }
        for event in late {
            app.deliver(Parallel, event).await;
        }
        let shown = app.profile(Parallel, person).await;
        let last = dates[1].to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        assert_eq!(shown["lifecycle"]["scheduledFor"], last, "{is_reversed}: {shown}");
    }
    app.finish().await;
});

both!(closed_and_reopened_at_one_moment_ends_as_upstream_whichever_arrives_first, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let people = open_people(&app);
    for (person, is_reversed) in people.iter().zip([false, true, false, true]) {
        let is_reopened_last = person == &people[0] || person == &people[1];
        if !is_reopened_last {
            parallel.close(person).unwrap();
            app.settle().await;
            app.simulator.advance(chrono::Duration::seconds(10));
            parallel.reopen(person).unwrap();
            parallel.close(person).unwrap();
        } else {
            parallel.close(person).unwrap();
            parallel.reopen(person).unwrap();
        }
        let mut events = app.simulator.take_webhooks();
        assert_eq!(events.len(), 2);
        let at = |event: &SignedWebhook| serde_json::from_slice::<Value>(&event.body).unwrap()["createdAt"].clone();
        assert_eq!(at(&events[0]), at(&events[1]));
        if is_reversed {
            events.reverse();
        }
        for event in events {
            assert_eq!(app.post(&event).await, 200);
            app.drain().await;
        }
        app.assert_rows_equal_world().await;
    }
    app.finish().await;
});

both!(an_event_that_comes_twice_is_one_step, |database| {
    let app = TestApp::imported(&database).await;
    let person = open_people(&app).remove(0);
    let (events, _) = close_and_reopen(&app, &person);
    let steps = async || {
        let shown = app.profile(Parallel, &person).await;
        shown["lifecycle"]["history"].as_array().unwrap().len()
    };
    app.post(&events[1]).await;
    app.drain().await;
    let before = steps().await;
    let mut again: Value = serde_json::from_slice(&events[1].body).unwrap();
    again["id"] = json!("the-same-once-more");
    app.deliver(Parallel, again.to_string()).await;
    assert_eq!(steps().await, before);
    app.finish().await;
});
