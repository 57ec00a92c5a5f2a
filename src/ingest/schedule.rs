//! Starts passes by the clock: cron expressions from the configuration, seconds first, UTC.

use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// The schedules of all sources.
pub struct Schedule(JobScheduler);

/// A schedule that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is wrong.
    #[error(
        "source {source_name:?}: sync.schedule {expression:?}: expected a cron expression with seconds, such as \"0 30 2 * * *\""
    )]
    Expression {
        /// The source.
        source_name: String,
        /// What was given.
        expression: String,
        /// Why it is wrong.
        #[source]
        source: JobSchedulerError,
    },
    /// The scheduler itself.
    #[error("start the scheduler")]
    Scheduler(#[source] JobSchedulerError),
}

impl Schedule {
    /// An empty schedule.
    ///
    /// # Errors
    /// [`ScheduleError::Scheduler`].
    pub async fn new() -> Result<Self, ScheduleError> {
        JobScheduler::new().await.map(Self).map_err(ScheduleError::Scheduler)
    }

    /// Calls `tick` at the times of a cron expression. A tick must only ask for work and return: the
    /// scheduler neither waits for it nor keeps two apart.
    ///
    /// # Errors
    /// [`ScheduleError::Expression`].
    pub async fn add(
        &self,
        source_name: &str,
        expression: &str,
        tick: impl Fn() + Send + Sync + 'static,
    ) -> Result<(), ScheduleError> {
        let wrong = |source| ScheduleError::Expression {
            source_name: source_name.to_owned(),
            expression: expression.to_owned(),
            source,
        };
        let job = Job::new(expression, move |_, _| tick()).map_err(wrong)?;
        self.0.add(job).await.map(drop).map_err(wrong)
    }

    /// Starts ticking.
    ///
    /// # Errors
    /// [`ScheduleError::Scheduler`].
    pub async fn start(&self) -> Result<(), ScheduleError> {
        self.0.start().await.map_err(ScheduleError::Scheduler)
    }

    /// Stops ticking.
    pub async fn stop(mut self) {
        if let Err(error) = self.0.shutdown().await {
            tracing::warn!(%error, "stop the scheduler");
        }
    }
}
