//! The service, one folder a stage.
