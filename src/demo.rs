//! `profile-mirror demo`: the whole thing on one machine, with no configuration.
//!
//! A simulator plays the three providers; the service runs as it would in production, on a fresh SQLite
//! file, and is told of changes by signed webhooks only. What is printed of the mirror comes from the
//! same feed that subscribers get.

use crate::app::{self, AppOptions, Running};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, AccessKey, Config, Keys, Role, Secret, Source};
use crate::publish::{Event, FeedItem};
use crate::{cli, telemetry};
use anyhow::Context;
use clap::Args;
use entity::{profile, relationship, subprofile};
use futures::future::join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sea_orm::{ActiveEnum, PaginatorTrait};
use simulator::{ProviderKind, Simulator, SimulatorOptions, live};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What can be said of a demo.
#[derive(Args)]
pub struct DemoArguments {
    /// Profiles over the three providers.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    profiles: usize,
    /// Port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Changes upstream a second; 0 for none.
    #[arg(long, default_value_t = 1.0, value_name = "RATE")]
    live: f64,
    /// The access key; made up where absent.
    #[arg(long, env = "PROFILE_MIRROR_DEMO_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Where all randomness comes from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// The sources of the demo: name, provider, and what people call it.
const SOURCES: [(&str, ProviderKind, &str); 3] = [
    ("marketing", ProviderKind::Copernica, "Copernica"),
    ("crm", ProviderKind::Parallel, "Parallel"),
    ("people", ProviderKind::GetProfile, "GetProfile"),
];

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// A sentence with what to do.
pub async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    telemetry::init("error");
    let folder =
        tempfile::Builder::new().prefix("profile-mirror-demo-").tempdir().context("make a folder for the demo")?;
    let options = SimulatorOptions {
        seed: arguments.seed,
        profiles: arguments.profiles,
        real_time: true,
        start: SystemClock.today(),
        ..SimulatorOptions::default()
    };
    let simulator = Arc::new(Simulator::start(options).await.context("start the simulator")?);
    let key = arguments.key.clone().unwrap_or_else(|| format!("demo-{:016x}", rand::random::<u64>()));
    let url = format!("sqlite://{}", folder.path().join("mirror.db").display());
    let config = configuration(&simulator, &url, arguments.port, &key);
    let running =
        app::start(config, AppOptions::default()).await.context("start the service; --port picks another port")?;
    let base = format!("http://{}", running.address());
    for (name, provider, _) in SOURCES {
        simulator.point_webhooks(provider, &format!("{base}/webhooks/{name}"));
    }

    println!("\nprofile-mirror demo");
    println!("  A simulator plays Copernica, Parallel and GetProfile, with some {} profiles.", arguments.profiles);
    println!("  The mirror is {}; all of it goes when you press Ctrl-C.\n", folder.path().display());
    import_all(&running).await?;
    tell_what_to_try(&base, &key);
    let outcome = watch(&simulator, &running, arguments.live).await;
    println!("\nStopping.");
    running.stop().await;
    outcome
}

fn configuration(simulator: &Simulator, database_url: &str, port: u16, key: &str) -> Config {
    let source = |name: &str, provider: &str, base_url: &str, token: &str| Source {
        name: name.to_owned(),
        provider: provider.to_owned(),
        base_url: base_url.to_owned(),
        auth_url: None,
        token: Some(Secret::Value(token.to_owned())),
        time_zone: None,
        tenant: None,
        filterable: Vec::new(),
        webhook: config::Webhook::default(),
        // The simulator takes any number.
        sync: config::Sync { requests_per_minute: Some(60_000), ..config::Sync::default() },
        drift: config::Drift::default(),
    };
    let (copernica, parallel, getprofile) = (simulator.copernica(), simulator.parallel(), simulator.getprofile());
    let mut marketing = source("marketing", "copernica", &copernica.base_url(), &copernica.token());
    marketing.auth_url = Some(copernica.auth_url());
    marketing.time_zone = Some("Europe/Amsterdam".to_owned());
    marketing.webhook.account = Some(copernica.account());
    marketing.webhook.key_domain = Some("copernica.com".to_owned());
    marketing.webhook.keys = Keys::Named(copernica.key_txt_records());
    let mut crm = source("crm", "parallel", &parallel.base_url(), &parallel.token());
    crm.webhook.keys = Keys::List(parallel.public_keys());
    let mut people = source("people", "getprofile", &getprofile.base_url(), &getprofile.api_key());
    people.tenant = Some(getprofile.tenant());
    people.webhook.secrets = vec![Secret::Value(getprofile.api_key())];

    let mut config = Config { sources: vec![marketing, crm, people], ..Config::default() };
    config.server.listen = format!("127.0.0.1:{port}");
    config.database.url = database_url.to_owned();
    let key = Secret::Value(key.to_owned());
    config.access.keys = vec![AccessKey { name: "demo".to_owned(), role: Role::Admin, key }];
    config
}

/// Imports the three sources side by side, with a bar for each.
async fn import_all(running: &Running) -> anyhow::Result<()> {
    println!("First import");
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("  {prefix:<24} {bar:24} {pos:>7} rows  {elapsed:>4}  {msg}")
        .context("draw the bars")?;
    let started = Instant::now();
    let imports = SOURCES.map(|(name, _, provider)| {
        let bar = bars.add(ProgressBar::new(0)).with_style(style.clone()).with_prefix(format!("{name} ({provider})"));
        bar.enable_steady_tick(Duration::from_millis(100));
        async move {
            let shown = bar.clone();
            let progress = running
                .sync(name, "first import", move |run| {
                    if let Some(expected) = run.rows_expected {
                        shown.set_length(u64::try_from(expected).unwrap_or(0));
                    }
                    shown.set_position(u64::try_from(run.rows_seen).unwrap_or(0));
                })
                .await
                .with_context(|| format!("sync {name}"))?;
            let rows = u64::try_from(progress.rows_seen).unwrap_or(0);
            bar.set_length(rows);
            bar.set_position(rows);
            bar.finish_with_message(format!("{} pages", progress.pages));
            anyhow::Ok(())
        }
    });
    join_all(imports).await.into_iter().collect::<anyhow::Result<()>>()?;
    running.drain(Duration::from_secs(60)).await.context("apply what was imported")?;
    let reader = running.database().reader();
    let profiles = profile::known().count(reader).await?;
    let subprofiles = subprofile::alive().count(reader).await?;
    let relationships = relationship::alive().count(reader).await?;
    println!(
        "  Mirrored {profiles} profiles, {subprofiles} subprofiles and {relationships} relationships in {:.1} s.\n",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn tell_what_to_try(base: &str, key: &str) {
    println!("Open");
    println!("  GraphiQL  {base}/graphiql#key={key}");
    println!("  Health    {base}/readyz");
    println!("  Metrics   {base}/metrics\n");
    println!("Ask");
    println!("  curl -s {base}/graphql \\");
    println!("    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\");
    println!(
        "    -d '{{\"query\":\"{{ profiles(first: 3) {{ totalCount nodes {{ displayName email status }} }} }}\"}}'\n"
    );
}

/// Prints what happens upstream, and what subscribers are told of it, until Ctrl-C.
async fn watch(simulator: &Arc<Simulator>, running: &Running, rate: f64) -> anyhow::Result<()> {
    if rate <= 0.0 {
        println!("Nothing changes upstream (--live 0). Ctrl-C stops.");
        return cli::stop_signal().await;
    }
    println!(
        "Live: {rate} changes a second upstream, sent as signed webhooks; ▸ is what subscribers are told. Ctrl-C stops.\n"
    );
    let cancel = CancellationToken::new();
    let upstream = live::run_live_told(simulator.clone(), rate, cancel.clone(), |happening| {
        println!("{}  {}", time_of_day(), happening.text);
    });
    let mut feed = running.publisher().subscribe(None).await.context("subscribe")?;
    let told = async {
        while let Some(item) = feed.next().await {
            if let FeedItem::Change { event, .. } = item {
                println!("{}    ▸ {}", time_of_day(), describe(&event));
            }
        }
    };
    let outcome = tokio::select! {
        () = upstream => Ok(()),
        () = told => Ok(()),
        outcome = cli::stop_signal() => outcome,
    };
    cancel.cancel();
    outcome
}

fn time_of_day() -> String {
    SystemClock.today().format("%H:%M:%S%.3f").to_string()
}

/// One line for one change. The demo's people are made up, so their names may be shown.
fn describe(event: &Event) -> String {
    let profile = event.profile.as_deref();
    let name = profile.and_then(|profile| profile.display_name.as_deref()).unwrap_or("somebody");
    let status = profile.map(|profile| profile.status.to_value().to_uppercase()).unwrap_or_default();
    let fields = event.change.fields.as_array().map(Vec::as_slice).unwrap_or_default();
    let fields: Vec<&str> = fields.iter().filter_map(|field| field.get("name")?.as_str()).take(4).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    format!("{:<20} {name} ({status}){fields}", event.change.kind.to_value().to_uppercase())
}
