//! The database: how to connect, and every difference between SQLite and PostgreSQL.
//!
//! In: the URL from the configuration. Out: a [`Database`] with one side for writing and one for
//! reading. On SQLite the writing side is a single connection, so that transactions queue up in
//! order instead of failing with *locked*, and a commit is flushed before it returns. Deliberately
//! absent: tables and queries, which belong to the stages.

mod connect;
pub mod dialect;
pub mod field_index;
pub mod fields;
mod full_text;
mod held;
mod pages;
mod precedence;
mod readers;
pub mod statistics;
pub mod wal;

pub use connect::{Database, DatabaseError, Unhurried, connect};
pub use dialect::Dialect;
pub use held::Held;
pub use precedence::{Precedence, Ticket};
pub use readers::Readers;
