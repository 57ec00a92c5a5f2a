//! One source with its provider, its applier, and what is on its way.

use crate::adapters::{Caller, adapter};
use crate::support::clock::MovableClock;
use bytes::Bytes;
use entity::{DeliveryKind, FetchState, Moment, fetch_request, source, source_state};
use http::{HeaderMap, HeaderName, HeaderValue};
use profile_mirror::apply::Applier;
use profile_mirror::clock::Clock;
use profile_mirror::db::Database;
use profile_mirror::inbox::{self, Along, Context, Inbox, NewDelivery};
use provider::{Answer, Inbound, Page, Provider, Receipt, Target, VerifyContext};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
};
use simulator::{ProviderKind, SignedWebhook, Simulator};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longest wait for the applier.
const DEADLINE: Duration = Duration::from_secs(30);

/// An answer that is made and has not arrived.
pub struct OnItsWay {
    context: Context,
    body: Vec<u8>,
    request_id: Option<i64>,
}

/// One source.
pub struct Line {
    pub name: String,
    db: Database,
    clock: Arc<MovableClock>,
    source_id: i32,
    adapter: Arc<dyn Provider>,
    caller: Caller,
    inbox: Inbox,
    wake: Arc<Notify>,
    number: u64,
    stop: CancellationToken,
    applier: tokio::task::JoinHandle<()>,
}

impl Line {
    pub async fn open(db: &Database, simulator: &Simulator, kind: ProviderKind, name: String) -> Self {
        let clock = MovableClock::new();
        let row = source::ActiveModel {
            name: Set(name.clone()),
            provider: Set(kind.slug().to_owned()),
            created_at: Set(Moment(0)),
            ..Default::default()
        };
        let source_id = source::Entity::insert(row).exec(db.writer()).await.unwrap().last_insert_id;
        let state = source_state::ActiveModel {
            source_id: Set(source_id),
            revision: Set(0),
            lease_epoch: Set(0),
            lease_until: Set(Moment(0)),
            ..Default::default()
        };
        source_state::Entity::insert(state).exec_without_returning(db.writer()).await.unwrap();
        let adapter = adapter(simulator, kind);
        let caller = Caller::new(simulator, kind, adapter.as_ref()).await;
        let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let ring = wake.clone();
        let (inbox, _) = Inbox::open(db.clone(), clock.clone(), stop.clone(), move |_| ring.notify_one());
        let applier = Applier::new(
            db.clone(),
            clock.clone(),
            source_id,
            name.clone(),
            adapter.clone(),
            "one".to_owned(),
            wake.clone(),
            || {},
        );
        let applier = tokio::spawn(applier.run(stop.clone()));
        Self { name, db: db.clone(), clock, source_id, adapter, caller, inbox, wake, number: 0, stop, applier }
    }

    /// Ends the applier.
    pub async fn close(self) {
        self.stop.cancel();
        self.applier.await.unwrap();
    }

    /// A webhook arrives, as often as it is sent.
    pub async fn receive(&self, webhook: &SignedWebhook) {
        let mut headers = HeaderMap::new();
        for (name, value) in &webhook.headers {
            headers.append(HeaderName::try_from(name.as_str()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let body = Bytes::from(webhook.body.clone());
        let path = reqwest::Url::parse(&webhook.url).unwrap().path().to_owned();
        let inbound = Inbound { method: "POST", path_and_query: &path, headers: &headers, body: &body };
        let context = VerifyContext { now: profile_mirror::clock::SystemClock.today(), registered_url: &webhook.url };
        let receipt = self.adapter.verify(&inbound, &context).await.expect("it is genuine");
        let Receipt::Accept { dedupe_key } = receipt else { return };
        let media_type = webhook.header("content-type").unwrap().split(';').next().unwrap().to_owned();
        self.append(DeliveryKind::Webhook, dedupe_key, media_type, body, None, Along::Nothing).await;
    }

    async fn append(
        &self,
        kind: DeliveryKind,
        dedupe_key: String,
        media_type: String,
        body: Bytes,
        context: Option<Context>,
        along: Along,
    ) {
        let context = context.map(|context| context.to_json());
        let headers = serde_json::json!({});
        let source_id = self.source_id;
        let delivery = NewDelivery { source_id, kind, dedupe_key, media_type, headers, body, context, along };
        self.inbox.append(delivery).await.expect("kept");
    }

    /// Claims a fetch request and makes its answer; none where none is open. The clock is moved to the first that waits.
    pub async fn start_fetch(&mut self) -> Option<OnItsWay> {
        use fetch_request::Column;
        let request = fetch_request::Entity::find()
            .filter(Column::SourceId.eq(self.source_id))
            .filter(Column::State.eq(FetchState::Pending))
            .order_by_asc(Column::NotBefore)
            .one(self.db.writer())
            .await
            .unwrap()?;
        self.clock.advance_ms((request.not_before.0 - self.clock.now().0).max(0));
        let started_at = inbox::head(self.db.writer(), self.source_id).await.unwrap();
        let (request_id, target) = (request.id, serde_json::from_value::<Target>(request.target.clone()).unwrap());
        let mut claimed = request.into_active_model();
        claimed.state = Set(FetchState::Running);
        claimed.started_position = Set(started_at);
        match claimed.update(self.db.writer()).await {
            // Apply has dropped it meanwhile: its profile was anonymized.
            Err(DbErr::RecordNotUpdated) => return Box::pin(self.start_fetch()).await,
            outcome => drop(outcome.unwrap()),
        }
        let (answer, body) = self.caller.call(self.adapter.as_ref(), &self.adapter.fetch(&target)).await;
        let is_missing = match answer {
            Answer::Usable => false,
            Answer::Missing(_) => true,
            other => panic!("{target:?}: {other:?}"),
        };
        let context =
            Context { started_at, request_id: Some(request_id), target: Some(target), page: None, is_missing };
        Some(OnItsWay { context, body, request_id: Some(request_id) })
    }

    /// The first pages of a sync.
    pub fn first_pages(&self) -> Vec<Page> {
        self.adapter.first_pages()
    }

    /// Makes a page, and tells the pages after it.
    pub async fn start_page(&mut self, page: Page) -> (OnItsWay, Vec<Page>) {
        let started_at = inbox::head(self.db.writer(), self.source_id).await.unwrap();
        let (answer, body) = self.caller.call(self.adapter.as_ref(), &page.call).await;
        assert_eq!(answer, Answer::Usable, "{page:?}");
        let next = self.adapter.next_pages(&page, &body).expect("the page is what was asked for");
        let context = Context { started_at, request_id: None, target: None, page: Some(page), is_missing: false };
        (OnItsWay { context, body, request_id: None }, next)
    }

    /// An answer arrives.
    pub async fn finish(&mut self, answer: OnItsWay) {
        self.number += 1;
        let key = format!("pull/{}", self.number);
        let (kind, along) = match answer.request_id {
            Some(request_id) => (DeliveryKind::Fetch, Along::FetchAnswered { request_id }),
            None => (DeliveryKind::Page, Along::Nothing),
        };
        let json = "application/json".to_owned();
        self.append(kind, key, json, answer.body.into(), Some(answer.context), along).await;
    }

    /// Waits until everything that has arrived is applied.
    pub async fn settle(&self) {
        let started = Instant::now();
        while inbox::count_pending(&self.db, self.source_id).await.unwrap() > 0 {
            assert!(started.elapsed() < DEADLINE, "{}: apply does not end", self.name);
            self.wake.notify_one();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
