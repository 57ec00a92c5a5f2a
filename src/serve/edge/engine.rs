//! Takes a request through parsing and measuring to the schema, and its answer to what clients read.

use super::document::{check_cost, check_shape};
use super::shared::{Executions, Key};
use super::wire::{Body, Parameters, is_request_error};
use crate::publish::Cursor;
use crate::serve::Viewer;
use crate::serve::graphql::{Api, Code, Fault};
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection};
use async_graphql::{Name, Request, Response, Value, Variables};

use futures::Stream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No request takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The schema behind its limits.
#[derive(Clone)]
pub(crate) struct Engine {
    api: Api,
    executions: Arc<Executions>,
}

/// A request that has been parsed and measured.
pub(crate) struct Prepared {
    request: Request,
    /// What it does.
    pub kind: OperationType,
    viewer: Viewer,
    key: Key,
    variables: serde_json::Value,
}

/// An answer as JSON, and what it means for the transport.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// The JSON text.
    pub json: String,
    /// Nothing was executed: the request itself was refused.
    pub is_refused: bool,
    /// There is no data.
    pub is_without_data: bool,
    /// The code of its first error.
    pub code: Option<&'static str>,
    /// Where a client goes on that has got this far, where the answer is one of a stream that can be gone on with.
    pub cursor: Option<Cursor>,
}

impl Engine {
    /// An engine over this API.
    pub fn new(api: Api) -> Self {
        Self { api, executions: Arc::default() }
    }

    /// Parses and measures.
    pub fn prepare(&self, parameters: Parameters, viewer: Viewer) -> Result<Prepared, Fault> {
        check_shape(&parameters.query)?;
        let document = async_graphql::parser::parse_query(&parameters.query)
            .map_err(|error| Fault::new(Code::ParseFailed, error.to_string()))?;
        let given = serde_json::Value::Object(parameters.variables);
        let variables = Variables::from_json(given.clone());
        check_cost(&document, &variables)?;
        let operation = find_operation(&document, parameters.operation_name.as_deref())?;
        let kind = operation.ty;
        let key = Key {
            query: parameters.query.clone(),
            operation_name: parameters.operation_name.clone(),
            variables: without_places(operation, &parameters.query, &given).to_string(),
            role: viewer.role,
        };
        let mut request = Request::new(parameters.query).variables(variables).data(viewer.clone());
        request.operation_name = parameters.operation_name;
        request.set_parsed_query(document);
        Ok(Prepared { request, kind, viewer, key, variables: given })
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
        let Prepared { request, viewer, key, variables, .. } = prepared;
        self.executions.subscribe(&self.api, key, variables, &viewer, request)
    }
}

impl Answered {
    /// The answer to a request that is not executed.
    pub fn refused(fault: &Fault) -> Self {
        let body = Body::refused(fault);
        let code = Some(fault.code.as_str());
        Self { json: body.to_json(), is_refused: true, is_without_data: true, code, cursor: None }
    }
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        let is_refused = is_request_error(&response);
        let is_without_data = response.data == Value::Null;
        let body = Body::from(response);
        Self { json: body.to_json(), is_refused, is_without_data, code: body.first_code(), cursor: None }
    }
}

fn find_operation<'d>(document: &'d ExecutableDocument, name: Option<&str>) -> Result<&'d OperationDefinition, Fault> {
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
    found.map(|(_, operation)| &operation.node).ok_or_else(unknown)
}

/// The variables of a subscription but those that only say where in the change log it begins.
fn without_places(operation: &OperationDefinition, query: &str, variables: &serde_json::Value) -> serde_json::Value {
    let mut rest = variables.clone();
    let Some(object) = rest.as_object_mut() else { return rest };
    let fields = operation.selection_set.node.items.iter().filter_map(|item| match &item.node {
        Selection::Field(field) => Some(&field.node),
        _ => None,
    });
    for field in fields {
        for place in ["after", "snapshot"].into_iter().filter_map(|name| field.get_argument(name)) {
            let mut named = Vec::new();
            let note = |variable: Name| {
                named.push(variable);
                Ok::<_, std::convert::Infallible>(Value::Null)
            };
            // What is named is all that matters here: the value itself is read by the field.
            drop(place.node.clone().into_const_with(note));
            for variable in named.iter().filter(|variable| is_used_once(query, variable)) {
                object.remove(variable.as_str());
            }
        }
    }
    rest
}

/// Whether a variable stands in a document but for its definition and one use.
fn is_used_once(query: &str, variable: &str) -> bool {
    let is_whole = |after: &str| !after.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
    let uses = query.split('$').skip(1).map(str::trim_start).filter_map(|rest| rest.strip_prefix(variable));
    uses.filter(|after| is_whole(after)).count() == 2
}

fn word(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}
