//! What clients are told when something goes wrong: a code, and a short text that holds nothing internal.

use crate::causes::chain;
use crate::db::dialect::is_of_the_database;
use crate::mirror::read::{PastError, ReadError};
use crate::publish::SubscribeError;
use crate::serve::run_watch::WatchError;
use async_graphql::{Error, ErrorExtensions};
use sea_orm::DbErr;

/// The codes that clients know by name; each is a heading of the runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The document is not GraphQL.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// A value that cannot be used.
    BadUserInput,
    /// No key, or one that is not known.
    Unauthenticated,
    /// The key's role does not reach.
    Forbidden,
    /// A fault of ours.
    Internal,
    /// The document asks for too much.
    QueryTooComplex,
    /// The document is nested too deep.
    QueryTooDeep,
    /// A page of more rows than are given at once.
    PageTooLarge,
    /// A hash whose document is not known here: send both.
    PersistedQueryNotFound,
    /// Only registered operations are run.
    PersistedQueryRequired,
    /// A cursor that this service did not make, or that belongs elsewhere.
    CursorInvalid,
    /// A cursor older than the log.
    CursorExpired,
    /// The key asked more than it may in a minute.
    RateLimited,
    /// Not now; later.
    Unavailable,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::ParseFailed,
        Self::ValidationFailed,
        Self::BadUserInput,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Internal,
        Self::QueryTooComplex,
        Self::QueryTooDeep,
        Self::PageTooLarge,
        Self::PersistedQueryNotFound,
        Self::PersistedQueryRequired,
        Self::CursorInvalid,
        Self::CursorExpired,
        Self::RateLimited,
        Self::Unavailable,
    ];

    /// As clients read it in `extensions.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::Internal => "INTERNAL_SERVER_ERROR",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::QueryTooDeep => "QUERY_TOO_DEEP",
            Self::PageTooLarge => "PAGE_TOO_LARGE",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::PersistedQueryRequired => "PERSISTED_QUERY_REQUIRED",
            Self::CursorInvalid => "CURSOR_INVALID",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// Where the runbook tells more, as clients read it in `extensions.docs`.
    pub(crate) fn docs(self) -> String {
        docs(self.as_str())
    }
}

/// Where the runbook has this heading.
pub(super) fn docs(heading: &str) -> String {
    format!("docs/runbook.md#{}", heading.to_lowercase())
}

/// What a resolver or the edge answers instead of data.
///
/// Deliberately without `Display`: only the conversion below makes it an error of the schema, and it carries a code.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its code.
    pub code: Code,
    /// What a person reads.
    pub message: String,
    /// When it is worth trying again, in seconds.
    pub retry_after_seconds: Option<u64>,
}

/// What resolvers return.
pub(super) type Answer<T> = Result<T, Fault>;

impl Fault {
    /// A fault with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_seconds: None }
    }

    pub(super) fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Code::BadUserInput, message)
    }

    /// The database cannot be used for now.
    fn away() -> Self {
        Self::new(Code::Unavailable, "the database does not answer; try again in a moment")
    }

    /// What kept an operation from being carried out, by no fault of who asked: the database's, where it is away or busy,
    /// or ours.
    pub(super) fn of_operation(error: &(dyn std::error::Error + 'static)) -> Self {
        let fault = Self::internal(error);
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        let of_the_database = causes.find_map(|error| error.downcast_ref::<DbErr>()).is_some_and(is_of_the_database);
        if of_the_database { Self::away() } else { fault }
    }

    /// A fault of ours: the cause goes to the log under a number, the number to the client.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let id = format!("{:08x}", rand::random::<u32>());
        tracing::error!(id, error = %chain(error), "internal error while answering a client");
        Self::new(Code::Internal, format!("internal error {id}"))
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let fault = Self::internal(&error);
        if error.is_unreachable() { Self::away() } else { fault }
    }
}

impl From<PastError> for Fault {
    fn from(error: PastError) -> Self {
        match error {
            PastError::Expired => Self::new(
                Code::CursorExpired,
                "asOf: the change log does not go back so far any more; ask for a later moment",
            ),
            PastError::Ahead => Self::new(
                Code::CursorInvalid,
                "asOf: the cursor is ahead of the change log; it was made by another mirror",
            ),
            PastError::TooFar => Self::new(
                Code::QueryTooComplex,
                "asOf: more has changed since than is followed back at once; ask for fewer profiles or a later moment",
            ),
            PastError::Unreadable(error) => error.into(),
        }
    }
}

impl From<SubscribeError> for Fault {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::CursorAhead { source_name } => Self::new(
                Code::CursorInvalid,
                format!("after is ahead of the change log of source {source_name}; it was made by another mirror"),
            ),
            SubscribeError::Unreadable(error) => error.into(),
            SubscribeError::Stopping => Self::new(Code::Unavailable, "the service is stopping; subscribe again"),
        }
    }
}

impl From<WatchError> for Fault {
    fn from(error: WatchError) -> Self {
        let message = match error {
            WatchError::NoLook => "the runs cannot be read now; subscribe again in a moment".to_owned(),
            WatchError::Behind(steps) => {
                format!("this subscriber fell {steps} steps behind: subscribe again, and read what comes at once")
            }
        };
        Self::new(Code::Unavailable, message)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(fault.message).extend_with(|_, extensions| extensions.set("code", fault.code.as_str()))
    }
}
