//! Pure functions on the way of every delivery: decode, verify, judge, hash. Criterion's own flags apply.

use anyhow::{Context, ensure};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use profile_mirror::apply::content_hash;
use profile_mirror::apply::freshness::{Judgement, Observed, Stored, judge};
use provider::{
    Call, Delivery, DeliveryKind, Inbound, KeyLookup, KeyLookupError, Page, Provider, Receipt, Rung, SourceSettings,
    VerifyContext, Version, registry,
};
use serde_json::{Value, json};
use simulator::{ProviderKind, SignedWebhook, Simulator, SimulatorOptions, real_now};
use std::hint::black_box;
use std::sync::Arc;

const WEBHOOK: &[u8] = include_bytes!("../provider/fixtures/copernica/update-profile.form");
const EVENT: &[u8] = include_bytes!("../provider/fixtures/parallel/profile-updated.json");
const URL: &str = "https://mirror.example.com/webhooks/bench";
const ROWS: usize = 1000;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let simulator = runtime.block_on(Simulator::start(SimulatorOptions { profiles: 0, ..Default::default() }))?;
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion, &simulator)?;
    verify(&mut criterion, &simulator)?;
    judge_and_hash(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn decode(criterion: &mut Criterion, simulator: &Simulator) -> anyhow::Result<()> {
    let provider = build("copernica", simulator)?;
    let webhook = Delivery {
        kind: DeliveryKind::Webhook,
        media_type: "application/x-www-form-urlencoded",
        body: WEBHOOK,
        target: None,
        page: None,
        is_missing: false,
    };
    ensure!(!provider.decode(&webhook)?.observations.is_empty(), "the webhook says something");
    criterion.bench_function("decode/copernica webhook", |bencher| {
        bencher.iter(|| provider.decode(black_box(&webhook)));
    });

    let page = Page::first("database/7616/profiles", Call::get("/database/7616/profiles"));
    let body = page_of_rows()?;
    let rows = Delivery {
        kind: DeliveryKind::Page,
        media_type: "application/json",
        body: &body,
        target: None,
        page: Some(&page),
        is_missing: false,
    };
    let seen = provider.decode(&rows)?.observations.len();
    ensure!(seen >= ROWS, "{seen} observations of {ROWS} rows");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(body.len() as u64)).sample_size(30);
    group.bench_function("copernica page of 1000", |bencher| {
        bencher.iter(|| provider.decode(black_box(&rows)));
    });
    group.finish();
    Ok(())
}

/// The documented row with 12 fields a thousand times, each with an id of its own.
fn page_of_rows() -> anyhow::Result<Vec<u8>> {
    let documented = include_bytes!("../provider/fixtures/copernica/rest-profiles-page.json");
    let mut page: Value = serde_json::from_slice(documented)?;
    let mut row = page["data"][0].clone();
    ensure!(row.is_object(), "the fixture has a row");
    row["fields"] = (0..12).map(|number| (format!("field_{number}"), json!(format!("value {number}")))).collect();
    let rows = (1..=ROWS).map(|id| {
        let mut row = row.clone();
        row["ID"] = json!(id.to_string());
        row
    });
    page["data"] = rows.collect();
    Ok(serde_json::to_vec(&page)?)
}

fn verify(criterion: &mut Criterion, simulator: &Simulator) -> anyhow::Result<()> {
    let webhooks = [
        (
            "verify/copernica, rsa-sha256",
            "copernica",
            simulator.sign(ProviderKind::Copernica, WEBHOOK, real_now(), URL),
        ),
        ("verify/parallel, ed25519", "parallel", simulator.sign(ProviderKind::Parallel, EVENT, real_now(), URL)),
        ("verify/getprofile, bearer", "getprofile", simulator.sign(ProviderKind::GetProfile, EVENT, real_now(), URL)),
    ];
    for (name, provider, webhook) in webhooks {
        let provider = build(provider, simulator)?;
        let request = Request::new(&webhook)?;
        ensure!(matches!(request.verify(provider.as_ref())?, Receipt::Accept { .. }), "{name} is genuine");
        criterion.bench_function(name, |bencher| bencher.iter(|| request.verify(black_box(provider.as_ref()))));
    }
    Ok(())
}

fn judge_and_hash(criterion: &mut Criterion) -> anyhow::Result<()> {
    let at = |from| Version { rung: Rung::UpstreamModified, from, until: from + 999 };
    let observed = Observed { version: at(1_768_478_431_000), started_at: None };
    let stored = Stored { version: at(1_768_478_430_000), position: 7 };
    ensure!(matches!(judge(observed, stored), Judgement::Observed(_)), "a second later is newer");
    criterion.bench_function("freshness/judge", |bencher| {
        bencher.iter(|| judge(black_box(observed), black_box(stored)));
    });

    let fields: serde_json::Map<_, _> =
        (0..12).map(|number| (format!("field_{number}"), json!(format!("a value of field {number}")))).collect();
    let content = json!({ "type": 1, "name": "Jane Doe", "fields": fields, "interests": [["sports", "soccer"]] });
    ensure!(content_hash(&content) == content_hash(&content.clone()), "the same content has the same hash");
    criterion.bench_function("content hash/12 fields", |bencher| bencher.iter(|| content_hash(black_box(&content))));
    Ok(())
}

/// A provider with the simulator's keys.
fn build(name: &str, simulator: &Simulator) -> anyhow::Result<Arc<dyn Provider>> {
    let settings = SourceSettings {
        name: "bench".to_owned(),
        base_url: "https://api.example.com".to_owned(),
        auth_url: Some("https://auth.example.com".to_owned()),
        time_zone: Some("Europe/Amsterdam".to_owned()),
        account: Some(simulator.copernica().account()),
        fixed_keys: simulator.copernica().key_txt_records(),
        public_keys: simulator.parallel().public_keys(),
        tenant: Some(simulator.getprofile().tenant()),
        secrets: vec![simulator.getprofile().api_key()],
        tolerance_seconds: Some(86_400),
        ..SourceSettings::default()
    };
    Ok(registry::build(name, settings, Arc::new(NoKeys)).context("there is such a provider")??)
}

/// All keys are fixed.
struct NoKeys;

impl KeyLookup for NoKeys {
    fn txt<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Vec<String>, KeyLookupError>> {
        Box::pin(std::future::ready(Err(KeyLookupError::NotFound)))
    }
}

/// A webhook as the door hands it over.
struct Request {
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    fn new(webhook: &SignedWebhook) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &webhook.headers {
            headers.append(HeaderName::try_from(name.as_str())?, HeaderValue::from_str(value)?);
        }
        Ok(Self { headers, body: webhook.body.clone().into() })
    }

    fn verify(&self, provider: &dyn Provider) -> anyhow::Result<Receipt> {
        let inbound =
            Inbound { method: "POST", path_and_query: "/webhooks/bench", headers: &self.headers, body: &self.body };
        let context = VerifyContext { now: real_now(), registered_url: URL };
        Ok(block_on(provider.verify(&inbound, &context))?)
    }
}
