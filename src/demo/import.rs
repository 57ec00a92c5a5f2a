//! The first chapter: three full syncs side by side.

use super::screen;
use super::setting::SOURCES;
use super::stage::Stage;
use entity::{profile, relationship, subprofile};
use futures::future::join_all;
use sea_orm::PaginatorTrait;
use std::time::Instant;

/// Syncs the three sources, with a bar for each.
///
/// # Errors
/// A sync that fails.
pub(super) async fn show(stage: &Stage<'_>) -> anyhow::Result<()> {
    screen::chapter(1, "A first full sync of three sources");
    let (board, started) = (stage.board(), Instant::now());
    let syncs = SOURCES.map(|(name, _)| stage.sync(&board, name, false));
    join_all(syncs).await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    stage.settle().await?;
    let reader = stage.running.database().reader();
    screen::text(&format!(
        "Mirrored {} profiles, {} subprofiles and {} relationships in {:.1} s.",
        profile::known().count(reader).await?,
        subprofile::alive().count(reader).await?,
        relationship::alive().count(reader).await?,
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}
