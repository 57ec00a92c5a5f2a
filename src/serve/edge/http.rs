//! GraphQL over HTTP.

use super::engine::Answered;
use super::reply::{self, Reply};
use super::request::{Refusal, admit, read_body, read_url};
use super::socket;
use super::wire::Parameters;
use crate::serve::Viewer;
use crate::serve::graphql::{Code, Fault};
use crate::serve::router::Shared;
use async_graphql::parser::types::OperationType;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawQuery, Request, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use http::header::UPGRADE;
use http::{HeaderMap, Method, StatusCode};

/// Answers an operation in the body.
pub(in crate::serve) async fn post(State(shared): State<Shared>, headers: HeaderMap, body: Body) -> Response {
    let reply = Reply::new(&shared, Method::POST, &headers);
    let asked = async {
        let viewer = admit(&shared, &headers)?;
        Ok::<_, Refusal>((viewer, read_body(&headers, body).await?))
    };
    match asked.await {
        Ok((viewer, parameters)) => answer(&shared, reply, parameters, viewer).await,
        Err((status, fault)) => reply.refuse(status, &fault),
    }
}

/// Answers a query in the URL, or opens a socket.
pub(in crate::serve) async fn get(
    State(shared): State<Shared>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let (mut parts, _) = request.into_parts();
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => socket::open(shared, &headers, upgrade),
            Err(refusal) => refusal.into_response(),
        };
    }
    let reply = Reply::new(&shared, Method::GET, &headers);
    let asked = admit(&shared, &headers).and_then(|viewer| Ok((viewer, read_url(query.as_deref())?)));
    match asked {
        Ok((viewer, parameters)) => answer(&shared, reply, parameters, viewer).await,
        Err((status, fault)) => reply.refuse(status, &fault),
    }
}

/// Tells a browser's page of an allowed origin what it may send.
pub(in crate::serve) async fn options(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    reply::answer_options(&shared, &headers)
}

async fn answer(shared: &Shared, reply: Reply<'_>, parameters: Parameters, viewer: Viewer) -> Response {
    let prepared = match shared.engine.prepare(parameters, viewer) {
        Ok(prepared) => prepared,
        Err(fault) => return reply.send(Answered::refused(&fault)),
    };
    match prepared.kind {
        OperationType::Mutation if reply.is_get() => reply.refuse_mutation(),
        OperationType::Subscription => {
            let text = "subscriptions are sent over a WebSocket with the protocol graphql-transport-ws, or as \
                        server-sent events to /graphql/stream";
            reply.refuse(StatusCode::BAD_REQUEST, &Fault::new(Code::BadUserInput, text))
        }
        OperationType::Query | OperationType::Mutation => reply.send(shared.engine.execute(prepared).await),
    }
}
