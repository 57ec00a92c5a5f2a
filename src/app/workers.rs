//! The workers of a process, and how a new one of each is made.

use super::crew::Crew;
use super::source::WiredSource;
use crate::apply::{Cleaner, Indexer, News};
use crate::clock::SharedClock;
use crate::config;
use crate::db::{Database, statistics, wal};
use crate::inbox::Inbox;
use crate::ingest::Refusals;
use crate::publish::Publisher;
use crate::serve::Access;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// What the workers work with.
#[derive(Clone)]
pub(super) struct Workplace {
    pub db: Database,
    pub clock: SharedClock,
    pub instance: String,
    pub inbox: Inbox,
    pub publisher: Arc<Publisher>,
    pub refusals: Arc<Refusals>,
    pub cleaner_wake: Arc<Notify>,
    /// Names of the fields that clients filter by.
    pub filterable: BTreeSet<String>,
}

impl Workplace {
    /// Starts the workers that all sources share.
    pub fn start_shared(&self, crew: &Crew) {
        let publisher = self.publisher.clone();
        crew.keep("publish".to_owned(), move |stop| {
            let publisher = publisher.clone();
            async move { publisher.run(stop).await }
        });
        let (db, clock, wake) = (self.db.clone(), self.clock.clone(), self.cleaner_wake.clone());
        crew.keep("clean".to_owned(), move |stop| Cleaner::new(db.clone(), clock.clone(), wake.clone()).run(stop));
        let db = self.db.clone();
        crew.have_done("log".to_owned(), move |stop| wal::run(db.clone(), stop));
        let db = self.db.clone();
        crew.have_done("statistics".to_owned(), move |stop| statistics::run(db.clone(), stop));
        let (db, filterable) = (self.db.clone(), self.filterable.clone());
        crew.have_done("index".to_owned(), move |stop| Indexer::new(db.clone(), filterable.clone()).run(stop));
        let (refusals, db) = (self.refusals.clone(), self.db.clone());
        crew.keep("refusals".to_owned(), move |stop| refusals.clone().run(db.clone(), stop));
    }

    /// Starts the worker that reads access keys in files again; it has nothing to do where there are none.
    pub fn follow_keys(access: &Access, config: &config::Access, crew: &Crew) {
        let (access, config) = (access.clone(), config.clone());
        crew.have_done("keys".to_owned(), move |stop| access.clone().follow(config.clone(), stop));
    }

    /// Starts the workers of one source. Without a token nothing is pulled.
    pub fn start_source(&self, source: &Arc<WiredSource>, crew: &Crew) {
        let named = |work: &str| format!("{work} {}", source.config.name);
        let (work, wired) = (self.clone(), source.clone());
        crew.keep(named("apply"), move |stop| {
            let (publisher, pull_wake) = (work.publisher.clone(), wired.pull_wake.clone());
            let on_commit = move |news: News| {
                if news.changes {
                    publisher.ring();
                }
                if news.wishes {
                    pull_wake.notify_one();
                }
            };
            let applier = wired.applier(&work.db, &work.clock, &work.instance, work.cleaner_wake.clone(), on_commit);
            let reads_per_hour = wired.upstream.as_ref().map_or(0, |_| wired.config.drift.reads_per_hour);
            let readers = work.publisher.clone();
            let applier = applier.telling_of_catalog(move || readers.forget_catalog());
            applier.reading(reads_per_hour).run(stop)
        });
        let (wired, instance) = (source.clone(), self.instance.clone());
        crew.keep(named("pause"), move |stop| {
            let (upstream, wake) = (wired.upstream.clone(), wired.pull_wake.clone());
            wired.gate.clone().watch(upstream, instance.clone(), wake, stop)
        });
        if source.upstream.is_none() {
            return;
        }
        let (work, wired) = (self.clone(), source.clone());
        crew.keep(named("pull"), move |stop| {
            let puller = wired.puller(&work.db, &work.clock, &work.inbox, &work.instance);
            async move {
                if let Some(puller) = puller {
                    puller.run(stop).await
                }
            }
        });
        let (work, wired) = (self.clone(), source.clone());
        crew.keep(named("run"), move |stop| {
            let runner = wired.runner(&work.db, &work.clock, &work.inbox, &work.instance);
            async move {
                if let Some(runner) = runner {
                    runner.run(stop).await
                }
            }
        });
    }
}
