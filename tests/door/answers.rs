//! The answers to webhooks: 200, 401, 404, 413, 415, 503.

use crate::support::app::TestApp;
use crate::support::both;
use crate::support::webhook::{getprofile_event, parallel_event, signed};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::config::Secret;
use profile_mirror::db::Dialect;
use sea_orm::ConnectionTrait;
use serde_json::json;
use simulator::ProviderKind::{Copernica, GetProfile, Parallel};
use std::time::Duration;

const NONE: &str = "{}";

both!(without_a_good_signature_or_secret_it_is_401_and_nothing_is_kept, |database| {
    let app = TestApp::builder(&database).start().await;
    let bodies = [
        (Parallel, parallel_event("PROFILE_UPDATED", "p1", json!({}))),
        (Copernica, "type=update&profile=1&time=1768478400".to_owned()),
        (GetProfile, getprofile_event("profile.updated", &app.simulator.getprofile().tenant(), "p1")),
    ];
    for (provider, body) in bodies {
        let genuine = signed(&app, provider, body);
        let mut bare = genuine.clone();
        bare.headers.retain(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        assert_eq!(app.post(&bare).await, 401, "{provider} without credentials");
        let mut forged = genuine.clone();
        if provider == GetProfile {
            forged.headers.iter_mut().for_each(|(_, value)| *value = value.replace("Bearer ", "Bearer x"));
        } else {
            forged.body.push(b' ');
        }
        assert_eq!(app.post(&forged).await, 401, "{provider} with a changed body or secret");
    }
    assert_eq!(app.running_backlog().await, 0);
    app.finish_apart_from_world().await;
});

both!(a_signed_request_is_refused_after_its_age_window, |database| {
    let app = TestApp::builder(&database).default_age_window().start().await;
    for (provider, body) in [
        (Parallel, parallel_event("PETITION_COMPLETED", "", json!({}))),
        (Copernica, "type=click&profile=1&time=1768478400".to_owned()),
    ] {
        let url = app.webhook_url(crate::support::world::source_of(provider));
        let old = SystemClock.today() - chrono::Duration::minutes(10);
        let webhook = app.simulator.sign(provider, body, old, &url);
        assert_eq!(app.post(&webhook).await, 401, "{provider}, ten minutes old");
        let fresh = app.simulator.resign(&webhook, SystemClock.today());
        assert_eq!(app.post(&fresh).await, 200, "{provider}, signed anew");
        app.clock.advance_ms(10 * 60 * 1000);
        assert_eq!(app.post(&fresh).await, 401, "{provider}, replayed later");
        app.clock.advance_ms(-10 * 60 * 1000);
    }
    app.finish_apart_from_world().await;
});

both!(both_secrets_are_valid_while_one_is_rotated, |database| {
    let app = TestApp::builder(&database)
        .configure(|config| {
            let people = config.sources.iter_mut().find(|source| source.name == "people").unwrap();
            people.webhook.secrets.insert(0, Secret::Value("the-next-secret".to_owned()));
        })
        .start()
        .await;
    let tenant = app.simulator.getprofile().tenant();
    let old = signed(&app, GetProfile, getprofile_event("billing.a", &tenant, ""));
    let mut new = signed(&app, GetProfile, getprofile_event("billing.b", &tenant, ""));
    for (name, value) in &mut new.headers {
        if name.eq_ignore_ascii_case("authorization") {
            *value = "Bearer the-next-secret".to_owned();
        }
    }
    assert_eq!((app.post(&old).await, app.post(&new).await), (200, 200));
    app.finish_apart_from_world().await;
});

both!(an_unknown_source_is_404, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut webhook = signed(&app, Parallel, NONE);
    webhook.url = app.webhook_url("nobody");
    assert_eq!(app.post(&webhook).await, 404);
    app.finish_apart_from_world().await;
});

both!(a_body_over_the_limit_is_413_and_one_at_the_limit_is_taken, |database| {
    let app = TestApp::builder(&database)
        .configure(|config| config.sources.iter_mut().for_each(|source| source.webhook.body_limit = Some(2_000)))
        .start()
        .await;
    let body = |length: usize| {
        let event = parallel_event("PETITION_COMPLETED", "", json!({}));
        format!("{event}{}", " ".repeat(length - event.len()))
    };
    assert_eq!(app.post(&signed(&app, Parallel, body(2_000))).await, 200);
    assert_eq!(app.post(&signed(&app, Parallel, body(2_001))).await, 413);
    app.finish_apart_from_world().await;
});

both!(another_media_type_is_415, |database| {
    let app = TestApp::builder(&database).start().await;
    let mut webhook = signed(&app, Parallel, parallel_event("PROFILE_UPDATED", "p1", json!({})));
    for (name, value) in &mut webhook.headers {
        if name.eq_ignore_ascii_case("content-type") {
            *value = "text/xml".to_owned();
        }
    }
    assert_eq!(app.post(&webhook).await, 415);
    app.finish_apart_from_world().await;
});

both!(the_registration_probe_is_answered_200_and_not_kept, |database| {
    let app = TestApp::builder(&database).start().await;
    assert_eq!(app.simulator.send_probe(&app.webhook_url("crm")).await.unwrap(), 200);
    assert_eq!(app.deliveries_in_all().await, 0);
    app.finish_apart_from_world().await;
});

both!(what_cannot_be_made_durable_is_503_and_taken_when_it_is_sent_again, |database| {
    let app = TestApp::builder(&database).start().await;
    let webhook = signed(&app, Parallel, parallel_event("PETITION_COMPLETED", "", json!({})));
    let other = profile_mirror::db::connect(&database.url, None).await.unwrap();
    let blocking = other.begin().await.unwrap();
    let block = match database.dialect {
        Dialect::Sqlite => "DELETE FROM delivery WHERE id = -1",
        Dialect::Postgres => "LOCK TABLE delivery IN ACCESS EXCLUSIVE MODE",
    };
    blocking.execute_unprepared(block).await.unwrap();
    let answer = app.raw_post(&webhook).await;
    assert_eq!(answer.status().as_u16(), 503);
    assert!(answer.headers().contains_key("retry-after"));

    blocking.rollback().await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while app.post(&webhook).await != 200 {
        assert!(tokio::time::Instant::now() < deadline, "it accepts again");
    }
    app.drain().await;
    assert_eq!(app.deliveries_in_all().await, 1);
    other.close().await.unwrap();
    app.finish_apart_from_world().await;
});

both!(authentic_bytes_that_cannot_be_read_are_200_and_parked_with_a_reason, |database| {
    let app = TestApp::builder(&database).start().await;
    for (provider, body) in [
        (Parallel, "{\"id\": \"x\", \"type\": [1, 2"),
        (Parallel, "[1, 2, 3]"),
        (GetProfile, "not json at all"),
        (Copernica, "fields=a&fields[b]=c&type=update"),
    ] {
        let status = app.post(&signed(&app, provider, body)).await;
        assert_eq!(status, 200, "{provider}: {body}");
    }
    app.drain().await;
    for (provider, count) in [(Parallel, 2), (GetProfile, 1), (Copernica, 1)] {
        let parked = app.deliveries(provider, "PARKED").await;
        assert_eq!(parked.len(), count, "{provider}: {parked:#?}");
        assert!(parked.iter().all(|delivery| delivery["reason"].as_str().is_some_and(|reason| reason.len() > 10)));
    }
    app.finish_apart_from_world().await;
});
