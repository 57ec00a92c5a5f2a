//! Why sockets are closed, with the codes of the protocol.

/// What a close frame holds of a reason.
pub(super) const MAX_REASON_BYTES: usize = 123;

pub(super) const GOING_AWAY: u16 = 1001;
/// The client is gone without a close frame. Never sent.
pub(super) const GONE: u16 = 1006;
pub(super) const TOO_BIG: u16 = 1009;
pub(super) const TRY_AGAIN_LATER: u16 = 1013;
const BAD_MESSAGE: u16 = 4400;
pub(super) const UNAUTHORIZED: u16 = 4401;
pub(super) const FORBIDDEN: u16 = 4403;
pub(super) const NOT_ACCEPTABLE: u16 = 4406;
pub(super) const INIT_TIMED_OUT: u16 = 4408;
pub(super) const SUBSCRIBER_EXISTS: u16 = 4409;
pub(super) const TOO_MANY_INITS: u16 = 4429;
pub(super) const SILENT: u16 = 1011;

/// Why a socket is closed.
pub(super) struct Close(pub u16, pub String);

impl Close {
    /// The reason as a label of metrics; none where it was not we who closed.
    pub fn label(&self) -> Option<&'static str> {
        match self.0 {
            GONE => None,
            GOING_AWAY => Some("stopping"),
            SILENT => Some("silent"),
            FORBIDDEN | UNAUTHORIZED => Some("forbidden"),
            TRY_AGAIN_LATER => Some("limit"),
            _ => Some("protocol"),
        }
    }
}

pub(super) type Flow = Result<(), Close>;

/// A message that is not as the protocol has it.
pub(super) fn bad(what: &str) -> Close {
    let mut reason = format!("Invalid message: {what}");
    reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
    Close(BAD_MESSAGE, reason)
}
