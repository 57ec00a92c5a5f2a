//! Apply.

pub mod freshness;
pub mod lifecycle;
pub mod policy;
