//! `syncProgress`: runs as they move.

use crate::mirror::read::Reader;
use crate::serve::graphql::Fault;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::global_id::{self, Kind};
use crate::serve::graphql::run::SyncRun;
use crate::serve::graphql::source::find_source;
use crate::serve::run_watch::{self, RunWatch, Steps};
use ::entity::sync_run;
use async_graphql::ID;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The runs that a subscriber follows.
pub(super) struct Follow {
    reader: Reader,
    steps: Steps,
    /// As they were when the subscriber came.
    first: VecDeque<Arc<sync_run::Model>>,
    /// As they were told last.
    told: HashMap<i64, Arc<sync_run::Model>>,
    only: Option<i64>,
    is_over: bool,
}

impl Follow {
    pub async fn new(reader: Reader, watch: &Arc<RunWatch>, run: Option<ID>) -> Answer<Self> {
        let only = match run {
            Some(id) => Some(find_run(&reader, &id).await?),
            None => None,
        };
        let steps = watch.subscribe().await?;
        // Read after subscribing: whatever happens from here on comes as a step.
        let now = match only {
            Some(id) => reader.sync_run(id).await?.into_iter().collect(),
            None => reader.runs_to_watch(&[], None).await?,
        };
        let first = now.into_iter().map(Arc::new).collect();
        Ok(Self { reader, steps, first, told: HashMap::new(), only, is_over: false })
    }

    pub async fn next(&mut self) -> Option<Answer<SyncRun>> {
        while !self.is_over {
            let run = match self.first.pop_front() {
                Some(run) => run,
                None => match self.steps.next().await? {
                    Ok(run) => run,
                    Err(error) => {
                        self.is_over = true;
                        return Some(Err(error.into()));
                    }
                },
            };
            let is_wanted = self.only.is_none_or(|id| id == run.id);
            if !is_wanted || self.told.get(&run.id) == Some(&run) {
                continue;
            }
            if run_watch::has_ended(&run) {
                self.told.remove(&run.id);
                self.is_over = self.only.is_some();
            } else {
                self.told.insert(run.id, Arc::clone(&run));
            }
            let source = find_source(&self.reader, run.source_id).await;
            return Some(source.map(|source| SyncRun { row: run.as_ref().clone(), source }));
        }
        None
    }
}

/// Number of the run with this id.
async fn find_run(reader: &Reader, id: &ID) -> Answer<i64> {
    let unknown = || Fault::bad_input(format!("run: there is no run {:?}", id.0));
    let read = global_id::decode(id).filter(|id| id.kind == Kind::Run).ok_or_else(unknown)?;
    let number = read.external_id.parse().map_err(|_| unknown())?;
    let run = reader.sync_run(number).await?.ok_or_else(unknown)?;
    let source = find_source(reader, run.source_id).await?;
    if source.name == read.source { Ok(number) } else { Err(unknown()) }
}
