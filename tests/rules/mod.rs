//! Rules about the code and the documents, as tests.

mod runbook;
mod schema;
mod stage_edges;
