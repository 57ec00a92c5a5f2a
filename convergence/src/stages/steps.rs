//! The steps that stages take when they are told to.

use super::{Leg, Stages, instance, patience, tell_sessions};
use bytes::Bytes;
use entity::{DeliveryKind, Purpose};
use futures::future::LocalBoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::inbox::{Along, AppendError, NewDelivery};
use provider::{Inbound, Receipt, VerifyContext};
use simulator::SignedWebhook;

/// How often a sender comes back that is told the inbox is busy, which waits for seconds before it says so.
const COMES_BACK: usize = 5;

impl Stages {
    /// A webhook arrives. False where it is not the kind that is kept.
    pub async fn receive(&self, webhook: &SignedWebhook) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in &webhook.headers {
            headers.append(HeaderName::try_from(name.as_str()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let body = Bytes::from(webhook.body.clone());
        let url: Uri = webhook.url.parse().unwrap();
        let inbound = Inbound { method: "POST", path_and_query: url.path(), headers: &headers, body: &body };
        let context = VerifyContext { now: SystemClock.today(), registered_url: &webhook.url };
        let receipt = self.wired.provider.verify(&inbound, &context).await.expect("it is genuine");
        let Receipt::Accept { dedupe_key } = receipt else { return false };
        let media_type = webhook.header("content-type").unwrap().split(';').next().unwrap().to_owned();
        let delivery = NewDelivery {
            source_id: self.source_id,
            kind: DeliveryKind::Webhook,
            dedupe_key,
            media_type,
            headers: "{}".to_owned(),
            body,
            context: None,
            along: Along::Nothing,
        };
        // As a sender does that is told to come back.
        for _ in 0..COMES_BACK {
            match self.inbox.append(delivery.clone()).await {
                Err(AppendError::Busy) => {}
                kept => {
                    kept.expect("kept");
                    return true;
                }
            }
        }
        panic!("the inbox is busy all the time");
    }

    /// Applies what is due, if this instance holds the lease.
    pub async fn apply(&mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            applied = self.applier.apply_pending(&stop) => applied.expect("apply works"),
            () = patience() => panic!("apply does not end: {}", tell_sessions(&self.db).await),
        }
    }

    /// Starts so many of the fetches that are due for each purpose, in the order of what they fetch. Returns how many.
    pub async fn start_fetches(&mut self, most: usize) -> usize {
        let upstream = self.wired.upstream.clone().expect("the source has a token");
        let places = Purpose::ALL.map(|purpose| (purpose, if upstream.is_ready(purpose) { most } else { 0 }));
        let mut claimed = self.puller.claim(places).await.expect("claim");
        claimed.sort_by_cached_key(|request| request.target_key.clone());
        let count = claimed.len();
        for request in claimed {
            let (puller, name) = (self.puller.clone(), format!("fetch {}", request.target_key));
            let work: LocalBoxFuture<'static, _> = Box::pin(async move {
                puller.fetch(request).await;
                Ok(())
            });
            if let (Some(flight), _) = self.take_off(name, work).await {
                self.fetches.push(flight);
            }
        }
        count
    }

    /// Starts to look whether the source's own pause may end, where that is due.
    pub async fn tend(&mut self) {
        let (gate, upstream, wake) =
            (self.wired.gate.clone(), self.wired.upstream.clone(), self.wired.pull_wake.clone());
        let instance = instance(self.instances);
        let work: LocalBoxFuture<'static, _> = Box::pin(async move {
            gate.tend(upstream.as_deref(), &instance, &wake, false).await;
            Ok(())
        });
        if let (Some(flight), _) = self.take_off("probe".to_owned(), work).await {
            self.fetches.push(flight);
        }
    }

    /// Starts to carry on the run that is under way, or what is due.
    pub async fn start_run(&mut self) -> Leg {
        let (runner, stop) = (self.runner.clone(), self.stop.clone());
        let work: LocalBoxFuture<'static, _> = Box::pin(async move {
            let ended = runner.carry_on(&stop).await;
            ended.map(drop).map_err(|error| error.to_string())
        });
        let (flight, leg) = self.take_off("run".to_owned(), work).await;
        self.run = flight;
        leg
    }
}
