//! What both databases must do alike.

mod migrations;
