//! What both databases must do alike.

mod along;
mod inbox;
mod migrations;
