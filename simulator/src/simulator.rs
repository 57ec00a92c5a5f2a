//! The simulator as a whole: starts the world and its HTTP entrance, signs and sends webhooks, tells the truth.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use chrono::{DateTime, Duration, TimeZone, Utc};
use futures::StreamExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, real_now};
use crate::context::{Context, ProviderKind};
use crate::copernica::CopernicaSim;
use crate::door::{self, Door};
use crate::faults::Faults;
use crate::getprofile::GetProfileSim;
use crate::guarded::Guarded;
use crate::outbox::{Parcel, RetryPolicy};
use crate::parallel::ParallelSim;
use crate::traffic::{PausedRequest, UpstreamRequest};
use crate::truth::{Gone, Truth};
use crate::webhook::SignedWebhook;

/// What a simulator starts with.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// All randomness comes from it.
    pub seed: u64,
    /// About this many profiles over the three providers: Copernica 50 %, Parallel 30 %, GetProfile 20 %.
    pub profiles: usize,
    /// 0 picks a free one.
    pub port: u16,
    /// Fields of a Copernica person beyond first name, last name, email and company.
    pub fields: usize,
    /// Follows the machine's clock; else time stands until it is moved by hand.
    pub real_time: bool,
    /// Where a clock moved by hand starts.
    pub start: DateTime<Utc>,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        let start = Utc.with_ymd_and_hms(2026, 1, 15, 12, 0, 0).single().unwrap_or_default();
        Self { seed: 7, profiles: 100, port: 0, fields: 8, real_time: false, start }
    }
}

/// A running world. Dropping it stops the HTTP entrance.
#[derive(Debug)]
pub struct Simulator {
    pub(crate) context: Arc<Context>,
    copernica: CopernicaSim,
    parallel: ParallelSim,
    getprofile: GetProfileSim,
    client: reqwest::Client,
    door: Arc<Door>,
    shutdown: CancellationToken,
    server: Option<JoinHandle<()>>,
    pub(crate) history: Guarded<ChaCha8Rng>,
}

impl Simulator {
    /// Makes the world and opens one HTTP listener on 127.0.0.1 with the three APIs under prefixes.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(options: SimulatorOptions) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .await
            .with_context(|| format!("listen on 127.0.0.1:{}", options.port))?;
        let origin = format!("http://{}", listener.local_addr().context("read the local address")?);
        let mut simulator = Self::make(options, origin)?;
        let (router, stopped) = (door::router(Arc::clone(&simulator.door)), simulator.shutdown.clone());
        simulator.server = Some(tokio::spawn(async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "serve the simulated providers");
            }
        }));
        Ok(simulator)
    }

    /// Makes the world without an HTTP entrance: it is asked with [`answer`](Self::answer). The port is not used.
    ///
    /// # Errors
    /// The test keys cannot be read.
    pub fn unconnected(options: SimulatorOptions) -> anyhow::Result<Self> {
        Self::make(options, "http://simulator.invalid".to_owned())
    }

    fn make(options: SimulatorOptions, origin: String) -> anyhow::Result<Self> {
        let clock = if options.real_time { Clock::real() } else { Clock::manual(options.start) };
        let context = Arc::new(Context::new(origin, clock, options.seed));
        let share = |percent: usize| options.profiles * percent / 100;
        let copernica = CopernicaSim::generate(Arc::clone(&context), options.seed, share(50), options.fields)?;
        let parallel = ParallelSim::generate(Arc::clone(&context), options.seed, share(30))?;
        let getprofile = GetProfileSim::generate(Arc::clone(&context), options.seed, share(20));
        let client = build_client()?;
        let door = Arc::new(Door {
            context: Arc::clone(&context),
            copernica: copernica.clone(),
            parallel: parallel.clone(),
            getprofile: getprofile.clone(),
            pages: Guarded::default(),
            client: client.clone(),
        });
        let history = Guarded::new(ChaCha8Rng::seed_from_u64(options.seed ^ 0x4157));
        let shutdown = CancellationToken::new();
        Ok(Self { context, copernica, parallel, getprofile, client, door, shutdown, server: None, history })
    }

    /// Answers a request as the HTTP entrance would, faults and all.
    ///
    /// # Errors
    /// The answer is cut.
    pub async fn answer(&self, request: http::Request<Bytes>) -> anyhow::Result<http::Response<Bytes>> {
        let answer = door::serve(State(Arc::clone(&self.door)), request.map(Body::from)).await;
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.context("read the answer")?;
        Ok(http::Response::from_parts(parts, body))
    }

    /// Closes the HTTP entrance; requests under way get a second to end.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some(mut server) = self.server.take()
            && tokio::time::timeout(StdDuration::from_secs(1), &mut server).await.is_err()
        {
            server.abort();
        }
    }

    /// The Copernica account.
    pub fn copernica(&self) -> &CopernicaSim {
        &self.copernica
    }

    /// The Parallel organization.
    pub fn parallel(&self) -> &ParallelSim {
        &self.parallel
    }

    /// The GetProfile app.
    pub fn getprofile(&self) -> &GetProfileSim {
        &self.getprofile
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> &str {
        &self.context.origin
    }

    /// The faults of a provider.
    pub fn faults(&self, provider: ProviderKind) -> &Faults {
        self.context.faults(provider)
    }

    /// The world's time.
    pub fn now(&self) -> DateTime<Utc> {
        self.context.clock.now()
    }

    /// Moves the world's time; nothing happens to a real-time one.
    pub fn advance(&self, by: Duration) {
        self.context.clock.advance(by);
    }

    /// Sets the world's time; nothing happens to a real-time one.
    pub fn set_now(&self, to: DateTime<Utc>) {
        self.context.clock.set(to);
    }

    /// Registers the address that a provider's webhooks go to, which Parallel's V2 signatures cover as it is.
    pub fn point_webhooks(&self, provider: ProviderKind, url: &str) {
        self.context.outbox.point(provider, url);
    }

    /// How often a provider tries an endpoint.
    pub fn retry_policy(&self, provider: ProviderKind) -> RetryPolicy {
        self.context.outbox.policy(provider)
    }

    /// Changes how often a provider tries an endpoint.
    pub fn set_retry_policy(&self, provider: ProviderKind, policy: RetryPolicy) {
        self.context.outbox.set_policy(provider, policy);
    }

    /// Takes everything queued, signed now and unsent, in order. Where no address was registered it is
    /// `https://mirror.example.com/webhooks/{provider}`.
    pub fn take_webhooks(&self) -> Vec<SignedWebhook> {
        let now = real_now();
        self.context.outbox.take_all().into_iter().map(|parcel| self.sign_parcel(&parcel, now)).collect()
    }

    /// How many events are queued.
    pub fn queued_webhooks(&self) -> usize {
        self.context.outbox.len()
    }

    /// How many events were given up after their last try.
    pub fn given_up_webhooks(&self) -> u64 {
        self.context.outbox.given_up()
    }

    /// Signs any body as a provider would at that time, for that address. Type and profile are read from the body where they
    /// are there.
    pub fn sign(
        &self,
        provider: ProviderKind,
        body: impl Into<Vec<u8>>,
        at: DateTime<Utc>,
        url: &str,
    ) -> SignedWebhook {
        let body = body.into();
        let (event, profile) = describe(provider, &body);
        let headers = self.sign_headers(provider, &body, at, url);
        SignedWebhook { provider, url: url.to_owned(), headers, body, event, profile }
    }

    /// The same webhook, signed at another time with the keys of now.
    pub fn resign(&self, webhook: &SignedWebhook, at: DateTime<Utc>) -> SignedWebhook {
        let headers = self.sign_headers(webhook.provider, &webhook.body, at, &webhook.url);
        SignedWebhook { headers, ..webhook.clone() }
    }

    /// Posts a webhook; the status it was answered with.
    ///
    /// # Errors
    /// No answer within the provider's timeout.
    pub async fn send(&self, webhook: &SignedWebhook) -> anyhow::Result<u16> {
        let timeout = self.retry_policy(webhook.provider).timeout;
        let mut request = self.client.post(&webhook.url).timeout(timeout).body(webhook.body.clone());
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.with_context(|| format!("post a webhook to {}", webhook.url))?;
        Ok(answer.status().as_u16())
    }

    /// Sends Parallel's unsigned registration probe; the status it was answered with.
    ///
    /// # Errors
    /// No answer.
    pub async fn send_probe(&self, url: &str) -> anyhow::Result<u16> {
        door::probe(&self.client, url).await.with_context(|| format!("post the probe to {url}"))
    }

    /// Sends every queued event that is due, in order, under the outgoing faults; the status of each try (0: no answer).
    ///
    /// A failed event is queued again for its next try on the world's clock, signed anew then, until its provider gives up.
    pub async fn send_all(&self) -> Vec<u16> {
        let mut parcels = self.plan_sending();
        self.reorder(&mut parcels);
        let burst = parcels.iter().map(|parcel| self.faults(parcel.event.provider).current_outgoing().burst).max();
        let sending = futures::stream::iter(parcels).map(|parcel| self.deliver(parcel));
        sending.buffered(burst.unwrap_or(1).max(1)).collect().await
    }

    /// How many REST requests came, over all providers; those to the authentication host count as Copernica's.
    pub fn requests(&self) -> u64 {
        self.context.traffic.count()
    }

    /// How many REST requests came for a provider.
    pub fn requests_of(&self, provider: ProviderKind) -> u64 {
        self.context.traffic.count_of(provider)
    }

    /// The most requests of a provider that were under way at once.
    pub fn most_in_flight(&self, provider: ProviderKind) -> usize {
        self.context.traffic.most_in_flight(provider)
    }

    /// Every REST request that was answered, oldest first (the last 200,000).
    pub fn request_log(&self) -> Vec<UpstreamRequest> {
        self.context.traffic.log()
    }

    /// How many logged requests have this in their path and query.
    pub fn requests_to(&self, path_contains: &str) -> usize {
        let is_there = |line: &UpstreamRequest| format!("{}?{}", line.path, line.query).contains(path_contains);
        self.context.traffic.log().iter().filter(|line| is_there(line)).count()
    }

    /// Starts counting and logging requests anew.
    pub fn forget_requests(&self) {
        self.context.traffic.forget();
    }

    /// Holds the next request whose path and query contain this, after its answer is made and before it is sent.
    pub fn pause_next(&self, path_contains: &str) -> PausedRequest {
        self.context.traffic.pause_next(path_contains)
    }

    /// What a perfect mirror of a provider would hold now.
    pub fn truth(&self, provider: ProviderKind) -> Truth {
        match provider {
            ProviderKind::Copernica => self.copernica.truth(),
            ProviderKind::Parallel => self.parallel.truth(),
            ProviderKind::GetProfile => self.getprofile.truth(),
        }
    }

    /// Ids of what is gone at a provider: profiles, and at Copernica subprofiles.
    pub fn gone(&self, provider: ProviderKind) -> Gone {
        match provider {
            ProviderKind::Copernica => self.copernica.gone(),
            ProviderKind::Parallel => self.parallel.gone(),
            ProviderKind::GetProfile => self.getprofile.gone(),
        }
    }

    fn sign_headers(&self, provider: ProviderKind, body: &[u8], at: DateTime<Utc>, url: &str) -> Vec<(String, String)> {
        match provider {
            ProviderKind::Copernica => self.copernica.sign_headers(body, at, url),
            ProviderKind::Parallel => self.parallel.sign_headers(body, at, url),
            ProviderKind::GetProfile => self.getprofile.sign_headers(),
        }
    }

    fn sign_parcel(&self, parcel: &Parcel, at: DateTime<Utc>) -> SignedWebhook {
        let provider = parcel.event.provider;
        let url = parcel.url.clone().unwrap_or_else(|| self.context.outbox.pointed_url(provider));
        SignedWebhook {
            provider,
            headers: self.sign_headers(provider, &parcel.event.body, at, &url),
            url,
            body: parcel.event.body.clone(),
            event: parcel.event.event.clone(),
            profile: parcel.event.profile.clone(),
        }
    }

    /// What is due, after drops, holds and duplicates.
    fn plan_sending(&self) -> Vec<Parcel> {
        let mut planned = Vec::new();
        for mut parcel in self.context.outbox.take_due(self.now()) {
            let faults = self.faults(parcel.event.provider);
            let outgoing = faults.current_outgoing();
            if parcel.tries == 0 && !parcel.held {
                if faults.draw() < outgoing.drop_share {
                    continue;
                }
                if faults.draw() < outgoing.hold_share {
                    parcel.held = true;
                    self.context.outbox.put_back(parcel);
                    continue;
                }
                if faults.draw() < outgoing.duplicate_share {
                    planned.push(parcel.clone());
                }
            }
            planned.push(parcel);
        }
        planned
    }

    fn reorder(&self, parcels: &mut [Parcel]) {
        for at in 0..parcels.len() {
            let provider = parcels[at].event.provider;
            let faults = self.faults(provider);
            let other = at + faults.draw_below(faults.current_outgoing().reorder_window);
            if other < parcels.len() && parcels[other].event.provider == provider {
                parcels.swap(at, other);
            }
        }
    }

    async fn deliver(&self, parcel: Parcel) -> u16 {
        let faults = self.faults(parcel.event.provider);
        let outgoing = faults.current_outgoing();
        let late = Duration::from_std(outgoing.sent_late).unwrap_or_default();
        let mut webhook = self.sign_parcel(&parcel, real_now() - late);
        if faults.draw() < outgoing.bad_signature_share {
            webhook.spoil();
        }
        let status = self.send(&webhook).await.unwrap_or(0);
        if !(200..300).contains(&status) {
            self.context.outbox.retry_or_give_up(parcel, self.now());
        }
        status
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A client for local endpoints: it trusts no certificate at all, so it needs none on the machine.
fn build_client() -> anyhow::Result<reqwest::Client> {
    // Another part of the process may have installed a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    builder.build().context("build the HTTP client that sends webhooks")
}

/// (type, profile) of a body, empty where it does not tell.
fn describe(provider: ProviderKind, body: &[u8]) -> (String, String) {
    if provider == ProviderKind::Copernica {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
        let find = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        return (find("type").unwrap_or_default(), find("profile").unwrap_or_default());
    }
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match provider {
        ProviderKind::Parallel => (text(&json["type"]), text(&json["profileId"])),
        _ => (text(&json["event"]), text(&json["data"]["profile_id"])),
    }
}
