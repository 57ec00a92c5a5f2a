//! Rules about the code and the documents, as tests.

mod runbook;
mod stage_edges;
