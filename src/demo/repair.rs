//! The second chapter: a webhook gets lost, the mirror is wrong, a full sync repairs it.

use super::screen;
use super::stage::Stage;
use crate::cli::runs;
use serde_json::json;
use simulator::ProviderKind;

const SOURCE: &str = "crm";

/// Closes a person upstream without the mirror being told, and lets a sync find out.
///
/// # Errors
/// A sync that fails, or one that does not repair it.
pub(super) async fn show(stage: &Stage<'_>) -> anyhow::Result<()> {
    let Some((id, name)) = stage.open_profiles(SOURCE, "Individual", 1).await?.pop() else { return Ok(()) };
    screen::chapter(2, "A webhook gets lost, and a sync repairs the mirror");
    // Risk scores are below 100: it is a change, whoever this is.
    stage.simulator.parallel().set_field(&id, "p_risk_score", Some(json!(100)))?;
    stage.tell().await?;
    screen::text(&format!("Parallel changes {name} ({SOURCE}/{id}), and a webhook tells the mirror."));
    stage.simulator.parallel().close(&id)?;
    stage.lose_webhooks(ProviderKind::Parallel).await;
    screen::text(&format!("Parallel closes {name}. The webhook that tells of it is lost."));
    screen::verdict("upstream", "CLOSED", true, "");
    let before = stage.status(SOURCE, &id).await?;
    screen::verdict("the mirror", &before, before == "CLOSED", "wrong, and nothing will ever tell it");
    screen::command(&format!("sync {SOURCE} --wait"));
    let run = stage.sync(&stage.board(), SOURCE, false).await?;
    stage.settle().await?;
    screen::text(&runs::tell_counts(&run));
    let after = stage.status(SOURCE, &id).await?;
    anyhow::ensure!(after == "CLOSED", "the sync did not repair {SOURCE}/{id}: it is {after}");
    screen::verdict("the mirror", &after, true, "right again");
    screen::text(&format!("Why it is so: profile-mirror explain {SOURCE}/{id}"));
    Ok(())
}
