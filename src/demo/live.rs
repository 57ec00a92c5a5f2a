//! The last chapter: the world goes on, and webhooks tell of it.

use super::screen;
use super::stage::Stage;
use crate::clock::{Clock, SystemClock};
use crate::publish::{Event, FeedItem};
use anyhow::Context;
use sea_orm::ActiveEnum;
use simulator::live;
use tokio_util::sync::CancellationToken;

/// Prints what happens upstream, and what subscribers are told of it, for as long as it is polled.
///
/// # Errors
/// The feed cannot be had.
pub(super) async fn show(stage: &Stage<'_>, rate: f64) -> anyhow::Result<()> {
    screen::chapter(4, "Live webhooks");
    tell_what_to_try(stage);
    if rate <= 0.0 {
        screen::text("Nothing changes upstream (--live 0). Ctrl-C stops.");
        return std::future::pending().await;
    }
    screen::text(&format!("Upstream changes {rate} times a second, and tells each change by a signed webhook."));
    screen::text("▸ is what subscribers are told. Ctrl-C stops.\n");
    let mut feed = stage.running.publisher().subscribe(None).await.context("subscribe")?;
    let cancel = CancellationToken::new();
    let _ends_with_this = cancel.clone().drop_guard();
    let upstream = live::run_live_told(stage.simulator.clone(), rate, cancel, |happening| {
        screen::event(&time_of_day(), false, &happening.text);
    });
    let told = async {
        while let Some(item) = feed.next().await {
            if let FeedItem::Change { event, .. } = item {
                screen::event(&time_of_day(), true, &describe(&event));
            }
        }
    };
    tokio::join!(upstream, told);
    Ok(())
}

fn tell_what_to_try(stage: &Stage<'_>) {
    let Stage { base, key, .. } = stage;
    screen::link("Console", &format!("{base}/console#key={key}"));
    screen::link("GraphiQL", &format!("{base}/graphiql#key={key}"));
    screen::link("Health", &format!("{base}/readyz"));
    screen::link("Metrics", &format!("{base}/metrics"));
    screen::text("In another terminal:");
    println!("     export PROFILE_MIRROR_URL={base} PROFILE_MIRROR_KEY={key}");
    println!("     cargo run -q --release -- runs list");
    println!("     cargo run -q --release -- sync people --plan");
    println!("     curl -s {base}/graphql -H 'Content-Type: application/json' \\");
    println!("       -H 'Authorization: Bearer {key}' \\");
    println!("       -d '{{\"query\":\"{{ profiles(first: 3) {{ nodes {{ displayName status }} }} }}\"}}'\n");
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
