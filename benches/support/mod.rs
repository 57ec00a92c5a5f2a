//! What the benches share: knobs and reports, a place on a real disk, senders, the service and the world as processes.

#![allow(dead_code, reason = "each bench uses its part")]

pub mod bare;
pub mod databases;
pub mod place;
pub mod report;
pub mod sender;
pub mod service;
pub mod steady;
pub mod world;
