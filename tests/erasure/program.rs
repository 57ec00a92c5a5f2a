//! The real program: nothing of a person stays in what it writes, nor where it is killed before its files are clean.

use super::scan::{CANARY, places};
use super::*;
use crate::support::app::ADMIN;
use crate::support::binary::{PUBLIC_URL, Program, Setup};
use crate::support::both;
use crate::support::graphql::Client;
use crate::support::place::TestDatabase;
use crate::support::world;
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::db::Dialect;
use sea_orm::{ConnectionTrait, TransactionTrait};
use simulator::Simulator;

/// The program, and a person with planted text whom it mirrors.
struct Planted {
    simulator: Simulator,
    setup: Setup,
    program: Program,
    person: String,
}

impl Planted {
    async fn start(database: &TestDatabase) -> Self {
        let simulator = world::start(7, 60).await;
        let setup = Setup::new(&simulator, database);
        let program = setup.start(None);
        let name = json!(format!("{CANARY}name"));
        let person = simulator.parallel().create_profile("Individual", &[("p_first_name", name)]).unwrap();
        let planted = Self { simulator, setup, program, person };
        for webhook in planted.simulator.take_webhooks() {
            assert_eq!(planted.post(webhook).await, 200);
        }
        until("the person is mirrored", async || planted.profile().await["displayName"].is_string()).await;
        planted
    }

    /// Kills the program, and starts it again once something is done.
    async fn restart_after(self, meanwhile: impl Future<Output = ()>) -> Self {
        drop(self.program);
        meanwhile.await;
        Self { program: self.setup.start(None), simulator: self.simulator, setup: self.setup, person: self.person }
    }

    /// Posts a webhook to wherever the program listens now; the status of the answer.
    async fn post(&self, mut webhook: SignedWebhook) -> u16 {
        webhook.url = format!("http://{}/webhooks/crm", self.program.address);
        self.simulator.send(&webhook).await.expect("an answer")
    }

    fn signed(&self, body: String) -> SignedWebhook {
        self.simulator.sign(Parallel, body, SystemClock.today(), &format!("{PUBLIC_URL}/webhooks/crm"))
    }

    /// An event about the person that holds more than it should.
    fn event(&self, kind: &str) -> SignedWebhook {
        self.signed(parallel_event(kind, &self.person, json!({ "note": CANARY })))
    }

    fn client(&self) -> Client {
        Client::new(self.program.address, Some(ADMIN))
    }

    async fn profile(&self) -> Value {
        const DOCUMENT: &str = "query ($by: ProfileRef!) {
            profile(by: $by) { status displayName erasure { filesCleanedAt lateDeliveries } } }";
        let by = json!({ "by": { "key": { "source": "crm", "externalId": self.person } } });
        self.client().query(DOCUMENT, by).await["profile"].take()
    }

    async fn are_files_clean(&self) -> bool {
        let (_, body) = self.client().get("/readyz").await;
        let readiness: Value = serde_json::from_str(&body).expect("its JSON");
        readiness["sources"]["crm"]["pending_erasures"] == 0
    }
}

both!(the_log_of_the_program_and_its_files_hold_nothing, |database| {
    let planted = Planted::start(&database).await;
    // Forged, unreadable, about something else: each makes the program say something.
    let mut forged = planted.event("PROFILE_UPDATED");
    forged.spoil();
    assert_eq!(planted.post(forged).await, 401);
    let cut = format!("{{\"profileId\":\"{}\",\"data\":\"{CANARY}", planted.person);
    assert_eq!(planted.post(planted.signed(cut.clone())).await, 200);
    assert_eq!(planted.post(planted.event("PROFILE_ANONYMIZED")).await, 200);
    until("the person is erased", async || planted.profile().await["erasure"]["filesCleanedAt"].is_string()).await;
    for late in [planted.event("PROFILE_UPDATED"), planted.event("PETITION_COMPLETED"), planted.signed(cut + "late")] {
        assert_eq!(planted.post(late).await, 200);
    }
    until("what is late is emptied", async || planted.profile().await["erasure"]["lateDeliveries"] == 3).await;
    until("the files are clean", async || planted.are_files_clean().await).await;

    let Planted { setup, program, .. } = planted;
    drop(program);
    let log = setup.log_text();
    assert!(log.contains("refuse a webhook"), "the log is where this looks for it: {log}");
    assert!(!log.to_lowercase().contains(&CANARY.to_lowercase()), "{log}");
    assert_eq!(places(&database, &database.connect().await).await, Vec::<String>::new());
});

both!(a_kill_before_the_files_are_clean_leaves_them_to_the_next_start, |database| {
    let planted = Planted::start(&database).await;
    // Such as a backup has: as long as it reads, the files keep what it may want to see.
    let backup = sea_orm::Database::connect(&database.url).await.unwrap();
    let reading = backup.begin().await.unwrap();
    if database.dialect == Dialect::Postgres {
        reading.execute_unprepared("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    }
    reading.execute_unprepared("SELECT count(*) FROM profile").await.unwrap();
    assert_eq!(planted.post(planted.event("PROFILE_ANONYMIZED")).await, 200);
    until("the person is erased", async || planted.profile().await["status"] == "ANONYMIZED").await;
    assert!(planted.profile().await["erasure"]["filesCleanedAt"].is_null(), "the files are read still");
    assert!(!planted.are_files_clean().await);

    let planted = planted
        .restart_after(async {
            let found = places(&database, &database.connect().await).await;
            assert!(!found.is_empty(), "the files hold it still");
            reading.rollback().await.unwrap();
            backup.close().await.unwrap();
        })
        .await;
    until("the files are clean", async || planted.profile().await["erasure"]["filesCleanedAt"].is_string()).await;
    assert!(planted.are_files_clean().await);
    drop(planted.program);
    assert_eq!(places(&database, &database.connect().await).await, Vec::<String>::new());
});
