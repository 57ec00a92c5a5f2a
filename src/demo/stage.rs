//! What every chapter plays with: the world, the service, and a client of it.

use crate::app::Running;
use crate::cli::ask::{self, Client};
use crate::cli::progress::{self, Board, Output};
use crate::cli::sync;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use simulator::{ProviderKind, Simulator};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for one sync.
const SYNC: Duration = Duration::from_secs(3_600);
/// Longest wait until what came is applied.
const APPLY: Duration = Duration::from_secs(60);

/// The world, the service, and a client of it.
pub(super) struct Stage<'a> {
    pub simulator: &'a Arc<Simulator>,
    pub running: &'a Running,
    pub client: Client,
    pub base: String,
    pub key: String,
}

impl<'a> Stage<'a> {
    pub fn new(simulator: &'a Arc<Simulator>, running: &'a Running, base: String, key: String) -> anyhow::Result<Self> {
        let client = Client::to(base.clone(), key.clone())?;
        Ok(Self { simulator, running, client, base, key })
    }

    /// Asks for a sync of a source, or for a plan of one, and follows it to its end.
    ///
    /// # Errors
    /// A sentence with what went wrong.
    pub async fn sync(&self, board: &Board, source: &str, is_plan: bool) -> anyhow::Result<Value> {
        let asked = sync::request(&self.client, is_plan, json!({ "source": source })).await?;
        self.follow(board, source, &asked).await
    }

    /// Follows a run to its end.
    ///
    /// # Errors
    /// A sentence with what went wrong.
    pub async fn follow(&self, board: &Board, source: &str, asked: &Value) -> anyhow::Result<Value> {
        let mut shown = board.add(source);
        let run = progress::follow(&self.client, asked, Instant::now() + SYNC, &mut shown).await?;
        shown.finish(&run);
        if ask::text(&run, "state") != "DONE" {
            bail!("the sync of {source} is {}: {}", ask::text(&run, "state"), ask::text(&run, "error"));
        }
        Ok(run)
    }

    /// Waits until nothing is left to be applied or fetched.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.running.drain(APPLY).await.context("apply what came")?;
        Ok(())
    }

    /// A place for progress.
    pub fn board(&self) -> Board {
        Board::on(Output::Standard)
    }

    /// How many live profiles a source has in the mirror.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn count(&self, source: &str) -> anyhow::Result<i64> {
        let document =
            "query($source: String) { profiles(first: 1, filter: { source: { eq: $source } }) { totalCount } }";
        let data = self.client.ask(document, json!({ "source": source })).await?;
        Ok(data.pointer("/profiles/totalCount").and_then(Value::as_i64).unwrap_or_default())
    }

    /// Some open profiles of a type in the mirror: upstream ids and names.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn open_profiles(
        &self,
        source: &str,
        of_type: &str,
        first: usize,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let document = "query($source: String, $type: String, $first: Int) { profiles(first: $first, filter: { \
            source: { eq: $source }, type: { eq: $type }, status: { eq: OPEN } }) { nodes { externalId displayName } } }";
        let variables = json!({ "source": source, "type": of_type, "first": first });
        let data = self.client.ask(document, variables).await?;
        let person = |node: &Value| {
            let id = ask::text(node, "externalId").to_owned();
            let name = Some(ask::text(node, "displayName")).filter(|name| !name.is_empty()).unwrap_or(&id).to_owned();
            (id, name)
        };
        Ok(ask::list(&data, "/profiles/nodes").iter().map(person).collect())
    }

    /// Where the mirror takes a profile to be in its life.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn status(&self, source: &str, id: &str) -> anyhow::Result<String> {
        let document = "query($by: ProfileRef!) { profile(by: $by) { status } }";
        let by = json!({ "key": { "source": source, "externalId": id } });
        let data = self.client.ask(document, json!({ "by": by })).await?;
        Ok(data.pointer("/profile/status").and_then(Value::as_str).unwrap_or("UNKNOWN").to_owned())
    }

    /// Sends every webhook that upstream has to send, and waits until the mirror holds what they tell.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn tell(&self) -> anyhow::Result<()> {
        self.simulator.send_all().await;
        self.settle().await
    }

    /// Loses every webhook that a provider has to send.
    pub async fn lose_webhooks(&self, provider: ProviderKind) {
        let faults = self.simulator.faults(provider);
        faults.outgoing(|outgoing| outgoing.drop_share = 1.0);
        self.simulator.send_all().await;
        faults.outgoing(|outgoing| outgoing.drop_share = 0.0);
    }
}
