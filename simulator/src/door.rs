//! The one HTTP entrance: finds the provider, applies faults and pauses, keeps the record.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;

use crate::clock::real_now;
use crate::context::{Context, ProviderKind};
use crate::copernica::CopernicaSim;
use crate::faults::FailureKind;
use crate::getprofile::GetProfileSim;
use crate::guarded::Guarded;
use crate::http::{Answer, Call};
use crate::parallel::ParallelSim;
use crate::traffic::UpstreamRequest;

const BODY_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// Lists whose last answer is kept for [`FailureKind::RepeatPage`].
const KEPT_PAGES: usize = 16;

/// Everything behind the entrance.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) context: Arc<Context>,
    pub(crate) copernica: CopernicaSim,
    pub(crate) parallel: ParallelSim,
    pub(crate) getprofile: GetProfileSim,
    pub(crate) pages: Guarded<Vec<(String, Answer)>>,
    pub(crate) client: reqwest::Client,
}

/// The router over all skins.
pub(crate) fn router(door: Arc<Door>) -> Router {
    Router::new().fallback(serve).with_state(door)
}

/// Answers one request.
pub(crate) async fn serve(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let Some((provider, rest)) = find_provider(&path) else {
        return plain(Answer::text(StatusCode::NOT_FOUND, "text/plain", "no such provider"));
    };
    let _visit = door.context.traffic.enter(provider);
    let path_and_query = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let hold = door.context.traffic.claim_pause(&path_and_query);
    let failure = door.context.faults(provider).next_failure(&path_and_query);
    let mut record = UpstreamRequest {
        provider,
        method: parts.method.to_string(),
        path: path.clone(),
        query: query.clone(),
        status: 0,
        at: real_now(),
    };

    let answer = match &failure {
        Some(kind) if kind.is_refusal() => refuse(provider, kind),
        _ => {
            let call = Call {
                method: parts.method,
                path: rest.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect(),
                query: serde_urlencoded::from_str(&query).unwrap_or_default(),
                headers: parts.headers,
                body: axum::body::to_bytes(body, BODY_LIMIT_BYTES).await.unwrap_or_default(),
            };
            let mut answer = door.answer(provider, &path, &call);
            answer.body = door.context.faults(provider).garble(answer.body);
            door.probe_new_subscription(provider, &path, answer).await
        }
    };
    record.status = answer.status.as_u16();
    let (answer, repeated) = door.remember(&path, &query, answer, failure == Some(FailureKind::RepeatPage));
    let answer = repeated.unwrap_or(answer);
    if let Some(FailureKind::Hang(pause)) = failure {
        tokio::time::sleep(pause).await;
    }
    if let Some(hold) = hold {
        hold.wait().await;
    }
    door.context.traffic.note(record);
    respond(answer, failure)
}

impl Door {
    fn answer(&self, provider: ProviderKind, path: &str, call: &Call) -> Answer {
        match provider {
            ProviderKind::Copernica if path.starts_with("/copernica/auth") => self.copernica.authenticate(call),
            ProviderKind::Copernica => self.copernica.answer(call),
            ProviderKind::Parallel => self.parallel.answer(call),
            ProviderKind::GetProfile => self.getprofile.answer(call),
        }
    }

    /// Parallel sends a new endpoint an unsigned, empty object, and takes the endpoint back if it is not answered.
    async fn probe_new_subscription(&self, provider: ProviderKind, path: &str, answer: Answer) -> Answer {
        let is_new = provider == ProviderKind::Parallel
            && path.ends_with("/subscriptions")
            && answer.status == StatusCode::CREATED;
        if !is_new {
            return answer;
        }
        let subscription: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let url = subscription["eventsUrl"].as_str().unwrap_or_default();
        match probe(&self.client, url).await {
            Ok(200..300) => answer,
            _ => {
                self.context.outbox.unsubscribe(provider, subscription["id"].as_str().unwrap_or_default());
                error_body(provider, StatusCode::BAD_REQUEST, "The endpoint did not answer the probe")
            }
        }
    }

    /// Keeps the last answer of a list, and finds the one before if it should be repeated.
    fn remember(&self, path: &str, query: &str, answer: Answer, repeat: bool) -> (Answer, Option<Answer>) {
        if query.is_empty() || answer.status != StatusCode::OK {
            return (answer, None);
        }
        let mut pages = self.pages.lock();
        let known = pages.iter().position(|(known, _)| known == path);
        if repeat {
            return (answer, known.map(|at| pages[at].1.clone()));
        }
        match known {
            Some(at) => pages[at].1 = answer.clone(),
            None => {
                if pages.len() >= KEPT_PAGES {
                    pages.remove(0);
                }
                pages.push((path.to_owned(), answer.clone()));
            }
        }
        (answer, None)
    }
}

/// Sends the unsigned probe; the status it was answered with.
pub(crate) async fn probe(client: &reqwest::Client, url: &str) -> reqwest::Result<u16> {
    let request =
        client.post(url).header("content-type", "application/json").body("{}").timeout(Duration::from_secs(10));
    Ok(request.send().await?.status().as_u16())
}

/// The provider of a path, and the path under its base.
fn find_provider(path: &str) -> Option<(ProviderKind, &str)> {
    let bases = [
        ("/copernica/v4", ProviderKind::Copernica),
        ("/copernica/auth", ProviderKind::Copernica),
        ("/parallel/api/v1", ProviderKind::Parallel),
        ("/getprofile", ProviderKind::GetProfile),
    ];
    bases.into_iter().find_map(|(base, provider)| {
        let rest = path.strip_prefix(base)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((provider, rest))
    })
}

fn percent_decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| segment.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn refuse(provider: ProviderKind, kind: &FailureKind) -> Answer {
    let say = |status: StatusCode, text: &str| error_body(provider, status, text);
    match kind {
        FailureKind::Status429 { retry_after } => {
            let answer = say(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
            match retry_after {
                Some(value) => answer.with_header("retry-after", value),
                None => answer,
            }
        }
        FailureKind::Html503 => Answer::text(StatusCode::SERVICE_UNAVAILABLE, "text/html", LOAD_BALANCER_PAGE),
        FailureKind::Html200 => Answer::text(StatusCode::OK, "text/html", LOAD_BALANCER_PAGE),
        FailureKind::Empty200 => Answer::empty(StatusCode::OK),
        FailureKind::Unauthorized => say(StatusCode::UNAUTHORIZED, "Invalid access token"),
        FailureKind::Forbidden => say(StatusCode::FORBIDDEN, "No access"),
        FailureKind::NotFound => say(StatusCode::NOT_FOUND, "Not found"),
        FailureKind::Redirect(to) => Answer::empty(StatusCode::FOUND).with_header("location", to),
        FailureKind::HugeBody(bytes) => {
            let filling = "x".repeat(bytes.saturating_sub(2));
            Answer::text(StatusCode::OK, "application/json", format!("\"{filling}\""))
        }
        _ => say(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
    }
}

const LOAD_BALANCER_PAGE: &str =
    "<html><head><title>Loadbalancer Error</title></head><body>Too many requests to handle</body></html>";

/// An error in the provider's own shape.
pub(crate) fn error_body(provider: ProviderKind, status: StatusCode, text: &str) -> Answer {
    let body = match provider {
        ProviderKind::Copernica => serde_json::json!({
            "error": {"message": format!("Copernica REST API Error {}: {text}", status.as_u16())}
        }),
        ProviderKind::Parallel => serde_json::json!({"code": parallel_code(status), "message": text}),
        ProviderKind::GetProfile => serde_json::json!({"error": status.as_u16(), "message": text}),
    };
    Answer::json(status, &body)
}

fn parallel_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        409 => "CONFLICT",
        422 => "UNPROCESSABLE_ENTITY",
        429 => "TOO_MANY_REQUESTS",
        _ => "INTERNAL_SERVER_ERROR",
    }
}

fn respond(mut answer: Answer, failure: Option<FailureKind>) -> Response {
    match failure {
        Some(FailureKind::CutJson) => {
            answer.body.truncate(answer.body.len() / 2);
            plain(answer)
        }
        Some(FailureKind::HugeHeader(bytes)) => plain(answer.with_header("x-filling", "x".repeat(bytes))),
        Some(FailureKind::SlowBody { chunk_bytes, pause }) => {
            let body = answer.body.split_off(0);
            with_body(&answer, Body::from_stream(slow_chunks(body, chunk_bytes.max(1), pause)))
        }
        Some(FailureKind::CutBody { share }) => {
            let kept = (answer.body.len() as f64 * share.clamp(0.0, 1.0)) as usize;
            let start = answer.body.slice(..kept.min(answer.body.len()));
            let cut = futures::stream::iter([Ok(start), Err(std::io::Error::other("connection cut by a fault"))]);
            // The pause lets the first part leave before the connection breaks.
            let cut = cut.then(|part| async {
                if part.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                part
            });
            with_body(&answer, Body::from_stream(cut))
        }
        _ => plain(answer),
    }
}

fn slow_chunks(
    body: Bytes,
    chunk_bytes: usize,
    pause: Duration,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    futures::stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let chunk = rest.split_to(chunk_bytes.min(rest.len()));
        Some((Ok(chunk), rest))
    })
}

fn plain(mut answer: Answer) -> Response {
    let body = std::mem::take(&mut answer.body);
    with_body(&answer, Body::from(body))
}

fn with_body(answer: &Answer, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
