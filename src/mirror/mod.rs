//! The mirror: the statements on records and on the change log.
//!
//! `write` is called by apply only, inside apply's transaction; `read` is called by serve and publish
//! only, and never writes. Deliberately absent: decisions. What wins is settled in `apply::freshness`.

pub mod write;
