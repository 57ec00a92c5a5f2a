//! The explorer's page.
