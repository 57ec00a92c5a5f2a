//! What both databases must do alike.

mod errors;
mod inbox;
mod migrations;
