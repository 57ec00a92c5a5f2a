//! The real program, from its start to its end: nothing of a person in what it writes.

use super::scan::{CANARY, folder};
use super::*;
use crate::support::binary::{PUBLIC_URL, Setup};
use crate::support::both;
use crate::support::graphql::Client;
use crate::support::world;
use profile_mirror::db::Dialect;

both!(the_log_of_the_program_and_its_files_hold_nothing, |database| {
    let simulator = world::start(7, 60).await;
    let setup = Setup::new(&simulator, &database);
    let program = setup.start(None);
    let client = Client::new(program.address, Some(crate::support::app::ADMIN));
    let parallel = simulator.parallel();
    let person = parallel.create_profile("Individual", &[("p_first_name", json!(format!("{CANARY}name")))]).unwrap();
    let at = format!("http://{}/webhooks/crm", program.address);
    let post = async |mut webhook: SignedWebhook| {
        webhook.url.clone_from(&at);
        assert_eq!(simulator.send(&webhook).await.expect("an answer"), 200);
    };
    let by = json!({ "by": { "key": { "source": "crm", "externalId": person } } });
    let status = async || {
        client
            .query(
                "query ($by: ProfileRef!) { profile(by: $by) { status displayName erasure { filesCleanedAt } } }",
                by.clone(),
            )
            .await
    };
    for webhook in simulator.take_webhooks() {
        post(webhook).await;
    }
    until("the person is mirrored", async || status().await["profile"]["displayName"].is_string()).await;
    let sign = |body: String| {
        let url = format!("{PUBLIC_URL}/webhooks/crm");
        let now = profile_mirror::clock::Clock::today(&profile_mirror::clock::SystemClock);
        simulator.sign(Parallel, body, now, &url)
    };
    // Forged, unreadable, about something else: each makes the program say something.
    let mut forged = sign(parallel_event("PROFILE_UPDATED", &person, json!({ "note": format!("{CANARY}forged") })));
    forged.spoil();
    forged.url.clone_from(&at);
    assert_eq!(simulator.send(&forged).await.expect("an answer"), 401);
    post(sign(format!("{{\"profileId\":\"{person}\",\"data\":\"{CANARY}"))).await;
    post(sign(parallel_event("PROFILE_ANONYMIZED", &person, json!({ "note": CANARY })))).await;
    until("the person is erased, and the files are clean", async || {
        status().await["profile"]["erasure"]["filesCleanedAt"].is_string()
    })
    .await;
    post(sign(parallel_event("PROFILE_UPDATED", &person, json!({ "note": CANARY })))).await;
    drop(program);
    let log = setup.log_text();
    assert!(log.contains("refuse a webhook"), "the log is where this looks for it: {log}");
    assert!(!log.contains(CANARY), "{log}");
    if database.dialect == Dialect::Sqlite {
        assert!(folder(&database).join("mirror.db").exists());
    }
});
