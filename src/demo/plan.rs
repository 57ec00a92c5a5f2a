//! The third chapter: a resync that is planned, looked at, and carried out.

use super::screen;
use super::stage::Stage;
use crate::cli::runs;
use serde_json::{Value, json};
use simulator::ProviderKind;

const SOURCE: &str = "marketing";

/// Changes some things upstream that the mirror is not told of, plans a resync, and carries the plan out.
///
/// # Errors
/// A run that fails, or a mirror that does not equal the world afterwards.
pub(super) async fn show(stage: &Stage<'_>) -> anyhow::Result<()> {
    let persons = stage.open_profiles(SOURCE, "People", 2).await?;
    let [(changed, name), (removed, gone)] = persons.as_slice() else { return Ok(()) };
    screen::chapter(3, "A planned resync: look first, then carry it out");
    let copernica = stage.simulator.copernica();
    copernica.update_profile(changed, &[("notes", "moves house")])?;
    stage.tell().await?;
    screen::text(&format!("Copernica changes {name}, and a webhook tells the mirror."));
    copernica.update_profile(changed, &[("email", "moved@example.com"), ("notes", "asked to be called")])?;
    copernica.create_profile("People", &[("firstname", "Grace"), ("lastname", "Newcomer")])?;
    copernica.delete_profile(removed)?;
    stage.lose_webhooks(ProviderKind::Copernica).await;
    screen::text(&format!("Copernica changes {name} again, adds Grace Newcomer and removes {gone}."));
    screen::text("All webhooks of that are lost.");

    screen::command(&format!("sync {SOURCE} --plan"));
    let plan = stage.sync(&stage.board(), SOURCE, true).await?;
    for line in runs::tell_plan(&plan).lines() {
        screen::text(line);
    }
    screen::text("Nothing is written so far.");
    screen::command(&format!("runs apply {}", runs::name(&plan)));
    let document = format!(
        "mutation($id: ID!) {{ applyResync(plan: $id) {{ run {{ {} }} problems {{ code message docs }} }} }}",
        runs::FIELDS
    );
    let payload = stage.client.change(&document, json!({ "id": plan.get("id") })).await?;
    let run = payload.get("run").cloned().unwrap_or(Value::Null);
    let applied = stage.follow(&stage.board(), SOURCE, &run).await?;
    stage.settle().await?;
    screen::text(&runs::tell_counts(&applied));
    let upstream: usize = copernica.databases().iter().map(|(_, name)| copernica.profile_ids(name).len()).sum();
    let mirrored = stage.count(SOURCE).await?;
    anyhow::ensure!(
        usize::try_from(mirrored) == Ok(upstream),
        "{mirrored} profiles are mirrored, upstream has {upstream}"
    );
    screen::verdict("upstream", &upstream.to_string(), true, "profiles");
    screen::verdict("the mirror", &mirrored.to_string(), true, "profiles");
    Ok(())
}
