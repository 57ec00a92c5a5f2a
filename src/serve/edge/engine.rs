//! Takes a request through parsing and measuring to the schema, and its answer to what clients read.

use super::document::{check_cost, check_shape};
use super::wire::{Body, Parameters, is_request_error};
use crate::serve::Viewer;
use crate::serve::graphql::{Api, Code, Fault};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, Variables};
use futures::Stream;
use futures::StreamExt;
use std::time::{Duration, Instant};

/// No request takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The schema behind its limits.
#[derive(Clone)]
pub(crate) struct Engine {
    api: Api,
}

/// A request that has been parsed and measured.
pub(crate) struct Prepared {
    request: Request,
    /// What it does.
    pub kind: OperationType,
}

/// An answer as JSON, and what it means for the transport.
pub(crate) struct Answered {
    /// The JSON text.
    pub json: String,
    /// Nothing was executed: the request itself was refused.
    pub is_refused: bool,
    /// There is no data.
    pub is_without_data: bool,
    /// The code of its first error.
    pub code: Option<&'static str>,
}

impl Engine {
    /// An engine over this API.
    pub fn new(api: Api) -> Self {
        Self { api }
    }

    /// Parses and measures.
    pub fn prepare(&self, parameters: Parameters, viewer: Viewer) -> Result<Prepared, Fault> {
        check_shape(&parameters.query)?;
        let document = async_graphql::parser::parse_query(&parameters.query)
            .map_err(|error| Fault::new(Code::ParseFailed, error.to_string()))?;
        let variables = Variables::from_json(serde_json::Value::Object(parameters.variables));
        check_cost(&document, &variables)?;
        let kind = kind_of(&document, parameters.operation_name.as_deref())?;
        let mut request = Request::new(parameters.query).variables(variables).data(viewer);
        request.operation_name = parameters.operation_name;
        request.set_parsed_query(document);
        Ok(Prepared { request, kind })
    }

    /// Answers a query or a mutation.
    pub async fn execute(&self, prepared: Prepared) -> Answered {
        let begun = Instant::now();
        let kind = word(prepared.kind);
        let response = tokio::time::timeout(TIMEOUT, self.api.execute(prepared.request)).await;
        let answered = match response {
            Ok(response) => Answered::from(response),
            Err(_) => {
                let message = format!("the request took longer than {} seconds; ask for less", TIMEOUT.as_secs());
                Answered::refused(&Fault::new(Code::Unavailable, message))
            }
        };
        let code = answered.code.unwrap_or("OK");
        metrics::counter!("profile_mirror_graphql_operations_total", "type" => kind, "code" => code).increment(1);
        metrics::histogram!("profile_mirror_graphql_operation_duration_seconds", "type" => kind)
            .record(begun.elapsed().as_secs_f64());
        answered
    }

    /// Starts a subscription; ends when the client leaves or the service stops.
    pub fn subscribe(&self, prepared: Prepared) -> impl Stream<Item = Answered> + Send + use<> {
        self.api.subscribe(prepared.request).map(Answered::from)
    }
}

impl Answered {
    /// The answer to a request that is not executed.
    pub fn refused(fault: &Fault) -> Self {
        let body = Body::refused(fault);
        Self { json: body.to_json(), is_refused: true, is_without_data: true, code: Some(fault.code.as_str()) }
    }
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        let is_refused = is_request_error(&response);
        let is_without_data = response.data == async_graphql::Value::Null;
        let body = Body::from(response);
        Self { json: body.to_json(), is_refused, is_without_data, code: body.first_code() }
    }
}

fn kind_of(
    document: &async_graphql::parser::types::ExecutableDocument,
    name: Option<&str>,
) -> Result<OperationType, Fault> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(one, _)| one.is_some_and(|one| one.as_str() == name)),
        None => match (operations.next(), operations.next()) {
            (only, None) => only,
            _ => {
                return Err(Fault::new(
                    Code::ValidationFailed,
                    "the document has several operations: give operationName",
                ));
            }
        },
    };
    let unknown = || Fault::new(Code::ValidationFailed, "operationName names no operation of the document");
    found.map(|(_, operation)| operation.node.ty).ok_or_else(unknown)
}

fn word(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}
