//! What keeps an operation from being carried out, told in its payload: nothing is wrong with the service then.

use crate::serve::Refused;
use crate::serve::graphql::Fault;
use crate::serve::graphql::fault::docs;
use crate::serve::graphql::global_id::{self, Kind};
use ::entity::Moment;
use async_graphql::{Enum, ID, SimpleObject};

/// Why an operation was not carried out. It may grow: keep a default branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ProblemCode {
    /// A value that cannot be used; `field` names it.
    BadUserInput,
    /// The source stands still.
    SourcePaused,
    /// The source has no token, so that nothing can be asked for upstream.
    SourceWithoutToken,
    /// Another run of the source goes on; `runId` names it.
    RunInProgress,
    /// Deletions of a run wait for a person; `runId` names it.
    DeletionsNeedApproval,
    /// The run does not stand where this can be asked of it.
    RunStateConflict,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::BadUserInput,
        Self::SourcePaused,
        Self::SourceWithoutToken,
        Self::RunInProgress,
        Self::DeletionsNeedApproval,
        Self::RunStateConflict,
    ];

    /// Its heading in the runbook.
    pub fn heading(self) -> &'static str {
        match self {
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::SourcePaused => "SOURCE_PAUSED",
            Self::SourceWithoutToken => "SOURCE_WITHOUT_TOKEN",
            Self::RunInProgress => "RUN_IN_PROGRESS",
            Self::DeletionsNeedApproval => "DELETIONS_NEED_APPROVAL",
            Self::RunStateConflict => "RUN_STATE_CONFLICT",
        }
    }
}

/// Why an operation was not carried out.
#[derive(Clone, Debug, SimpleObject)]
pub struct Problem {
    /// What kind of problem.
    code: ProblemCode,
    /// What a person reads, with what to do.
    message: String,
    /// The argument that it is about; null where it is about none.
    field: Option<String>,
    /// The run that stands in the way; null where none does.
    run_id: Option<ID>,
    /// Where the runbook tells more.
    docs: String,
}

impl Problem {
    pub(super) fn new(code: ProblemCode, message: impl Into<String>, field: Option<&str>) -> Self {
        let docs = docs(code.heading());
        Self { code, message: message.into(), field: field.map(str::to_owned), run_id: None, docs }
    }

    pub(super) fn bad_input(field: &str, message: impl std::fmt::Display) -> Self {
        Self::new(ProblemCode::BadUserInput, format!("{field}: {message}"), Some(field))
    }

    /// The same, with the run that stands in the way.
    fn about(self, source: &str, run_id: i64) -> Self {
        Self { run_id: Some(global_id::encode(Kind::Run, source, &run_id.to_string())), ..self }
    }

    /// The problem that an operation on `source` met.
    ///
    /// # Errors
    /// [`Fault`] where the fault is ours, or the database is away.
    pub(super) fn of(refused: Refused, source: &str) -> Result<Self, Fault> {
        Ok(match refused {
            Refused::NoSuchSource => Self::bad_input("source", format!("no source {source:?} is configured")),
            Refused::BadInput { field, message } => Self::bad_input(field, message),
            Refused::PausedAlready { by, since, reason } => Self::paused(source, Some(&by), since, &reason),
            Refused::Paused { by, since, reason } => Self::paused(source, by.as_deref(), since, &reason),
            Refused::NoToken => {
                let message = format!("source {source} has no token: set token in its configuration and restart");
                Self::new(ProblemCode::SourceWithoutToken, message, None)
            }
            Refused::RunInProgress { run_id } => {
                let message = format!("run {run_id} of {source} goes on: wait for it, or end it with cancelSync");
                Self::new(ProblemCode::RunInProgress, message, None).about(source, run_id)
            }
            Refused::DeletionsNeedApproval { run_id } => {
                let message = format!(
                    "the deletions of run {run_id} of {source} wait for a person: look at its deletionCandidates, then \
                     approveDeletions or rejectDeletions"
                );
                Self::new(ProblemCode::DeletionsNeedApproval, message, None).about(source, run_id)
            }
            Refused::RunState(message) => Self::new(ProblemCode::RunStateConflict, message, Some("run")),
            failed @ Refused::Failed(_) => return Err(Fault::of_operation(&failed)),
        })
    }

    fn paused(source: &str, by: Option<&str>, since: Moment, reason: &str) -> Self {
        let (by, since) = (by.unwrap_or("the service itself"), shown(since));
        let message = format!("source {source} was paused by {by} at {since}: {reason}. resumeSource lets it go on");
        Self::new(ProblemCode::SourcePaused, message, None)
    }
}

fn shown(at: Moment) -> String {
    at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::graphql::Code;
    use sea_orm::{ConnAcquireErr, DbErr};

    /// As the stages wrap it.
    #[derive(Debug, thiserror::Error)]
    #[error("keep the request")]
    struct Wrapped(#[source] DbErr);

    #[test]
    fn an_operation_that_the_database_kept_from_being_carried_out_may_be_tried_again() {
        let code = |error: DbErr| Problem::of(Refused::Failed(Box::new(Wrapped(error))), "crm").unwrap_err().code;
        assert_eq!(code(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)), Code::Unavailable);
        assert_eq!(code(DbErr::Custom("a fault of ours".to_owned())), Code::Internal);
    }
}
