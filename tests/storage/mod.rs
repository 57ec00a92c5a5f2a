//! What both databases must do alike.

mod along;
mod decisions;
mod errors;
mod inbox;
mod migrations;
mod statistics;
mod transactions;
