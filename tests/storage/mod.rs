//! What both databases must do alike.

mod inbox;
mod migrations;
