//! Named places at which a process can be made to die, to show that nothing acknowledged is lost.
//!
//! `PROFILE_MIRROR_FAILPOINT=applied:3` aborts the process the third time it passes `applied`. Without
//! the variable a failpoint is one load of a static that was set at the first pass.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The durable steps of a delivery, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// Written to the inbox, not committed.
    Append,
    /// Committed to the inbox, not answered.
    Appended,
    /// Taken by apply, nothing written.
    Taken,
    /// Found to change nothing, and not settled.
    Unchanged,
    /// Everything written by apply, not committed.
    ApplyCommit,
    /// Committed by apply, not published.
    Applied,
    /// The same of a part of a page, whose rest is not applied yet.
    Parted,
    /// Handed to subscribers.
    Published,
}

impl Failpoint {
    fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Appended => "appended",
            Self::Taken => "taken",
            Self::Unchanged => "unchanged",
            Self::ApplyCommit => "apply-commit",
            Self::Applied => "applied",
            Self::Parted => "parted",
            Self::Published => "published",
        }
    }

    /// Aborts the process if it was started to die here.
    pub fn pass(self) {
        if let Some(armed) = armed()
            && armed.name == self.name()
            && armed.passes_left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            tracing::error!(failpoint = self.name(), "aborting as asked");
            std::process::abort();
        }
    }
}

struct Armed {
    name: String,
    passes_left: AtomicU64,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let value = std::env::var("PROFILE_MIRROR_FAILPOINT").ok()?;
            let (name, passes) = value.split_once(':').unwrap_or((&value, "1"));
            Some(Armed { name: name.to_owned(), passes_left: AtomicU64::new(passes.parse().unwrap_or(1)) })
        })
        .as_ref()
}
