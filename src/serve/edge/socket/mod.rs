//! GraphQL over WebSocket: the protocol graphql-transport-ws.
//!
//! One task owns a socket (`connection`); each operation is a task of its own that hands its messages over through a
//! short queue (`operation`). A client that does not read fills the queue, the operations stand still, and after a
//! while the socket is given up: what it missed is in the change log, behind its last cursor. `message` reads and
//! writes the protocol's messages, `close` holds its codes.

mod close;
mod connection;
mod message;
mod operation;

use super::slots::Carrier;
use crate::serve::router::Shared;
use axum::extract::WebSocketUpgrade;
use axum::response::{IntoResponse, Response};
use connection::Connection;
use http::header::{HOST, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use message::{MAX_MESSAGE_BYTES, PROTOCOL};

/// Beyond it the connection is cut while the message still comes in.
const CUT_MESSAGE_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// The library's own buffer is 128 KiB for each socket, most of it never used.
const READ_BUFFER_BYTES: usize = 1024;

/// Opens a socket for anybody who may be a client; who they are is told in the first message.
pub(super) fn open(shared: Shared, headers: &HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !is_allowed_origin(&shared, headers) {
        return (StatusCode::FORBIDDEN, "this origin may not open a socket; see server.allowed_origins")
            .into_response();
    }
    let Some(slot) = shared.slots.open(Carrier::Socket) else {
        let text = "too many sockets are open; try again later";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], text).into_response();
    };
    let header_viewer = super::request::admit(&shared, headers).ok();
    upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(CUT_MESSAGE_BYTES)
        .max_frame_size(CUT_MESSAGE_BYTES)
        .on_upgrade(move |socket| {
            let tracker = shared.sockets.clone();
            tracker.track_future(Connection::new(shared, socket, slot, header_viewer).run())
        })
}

/// Programs send no origin; pages do, and only ours and those of the configuration may come in.
fn is_allowed_origin(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_same = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
    is_same || shared.server.allowed_origins.iter().any(|allowed| allowed == origin)
}
