//! GraphQL over HTTP and over WebSocket, on one path.
//!
//! In: bytes from anybody. Out: answers in the media type or the protocol that the client speaks.
//! Guaranteed: bytes, brackets and fields are counted before anything recursive sees a document, in time that grows
//! with its length only; a request runs for 30 seconds at most; every error has a code; over HTTP only POST with
//! `application/json`, and GET for queries; sockets answer pings, and close with the codes of graphql-transport-ws.
//! Deliberately absent: batches, multipart, cookies, keys in URLs.

mod document;
mod engine;
mod http;
mod media;
mod shared;
mod socket;
mod wire;

pub(super) use engine::Engine;
pub(super) use http::{get, options, post};

#[cfg(test)]
mod tests;
