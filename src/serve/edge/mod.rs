//! GraphQL over HTTP, WebSocket and server-sent events.
//!
//! In: bytes from anybody. Out: answers in the media type or the protocol that the client speaks.
//! Guaranteed: bytes, brackets, tokens and fields are counted before anything recursive sees a document, in time that
//! grows with its length only; what an operation may cost is taken from its key's budget before it is executed; a request
//! runs for 30 seconds at most; every error has a code; over HTTP only POST with `application/json`, and GET for queries;
//! sockets answer pings, and close with the codes of graphql-transport-ws; streams are counted, and end with their key.
//! Deliberately absent: batches, multipart, cookies, keys in URLs.

mod automatic;
mod budget;
mod cost;
mod documents;
mod engine;
mod hangup;
mod http;
mod media;
mod order;
mod parsed;
mod registered;
mod reply;
mod request;
mod shape;
mod shared;
mod slots;
mod socket;
pub(super) mod sse;
mod subscribed;
mod wire;

pub(super) use engine::Engine;
pub use hangup::Hangup;
pub(super) use http::{get, options, post};
pub use registered::Registered;
pub(super) use slots::{Carrier, Slots};

#[cfg(test)]
mod tests;
