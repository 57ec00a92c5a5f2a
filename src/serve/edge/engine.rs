//! Takes a request through parsing and measuring to the schema, and its answer to what clients read.

use super::budget::{Budget, Cost};
use super::cost::check_cost;
use super::documents::Documents;
use super::order::Order;
use super::parsed::Parsed;
use super::registered::Registered;
use super::shared::{Executions, Key, Subscription};
use super::wire::{Body, Parameters, is_request_error};
use crate::clock::SharedClock;
use crate::config;
use crate::publish::Cursor;
use crate::serve::Viewer;
use crate::serve::graphql::{Api, Code, Fault};
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection};
use async_graphql::{Name, Request, Response, Value, Variables};
use futures::{FutureExt, Stream};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No request takes longer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The schema behind its limits.
#[derive(Clone)]
pub(crate) struct Engine {
    api: Api,
    executions: Arc<Executions>,
    terms: Arc<Terms>,
}

/// What holds for every request.
struct Terms {
    documents: Documents,
    parsed: Parsed,
    budget: Budget,
    server: config::Server,
}

/// A request that has been parsed and measured.
pub(crate) struct Prepared {
    request: Request,
    /// What it does.
    pub kind: OperationType,
    order: Arc<Order>,
    viewer: Viewer,
    estimated_cost: u64,
    /// What it shares with whoever asks for the same.
    key: Key,
    variables: serde_json::Value,
}

/// An answer as JSON, and what it means for the transport.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// The JSON text.
    pub json: String,
    /// So much of it holds the data and the errors; what follows differs from answer to answer.
    pub content_bytes: usize,
    /// Nothing was executed: the request itself was refused.
    pub is_refused: bool,
    /// There is no data.
    pub is_without_data: bool,
    /// The code of its first error.
    pub code: Option<&'static str>,
    /// When it is worth trying again, in seconds.
    pub retry_after_seconds: Option<u64>,
    /// Where a client goes on that has got this far, where the answer is one of a stream that can be gone on with.
    pub cursor: Option<Cursor>,
}

#[derive(Debug, thiserror::Error)]
#[error("a resolver panicked")]
struct Panicked;

impl Engine {
    /// An engine over this API.
    pub fn new(api: Api, registered: Registered, server: config::Server, clock: SharedClock) -> Self {
        let documents = Documents::new(registered, &server);
        let budget = Budget::new(server.cost_per_minute, clock);
        let parsed = Parsed::default();
        Self { api, executions: Arc::default(), terms: Arc::new(Terms { documents, parsed, budget, server }) }
    }

    /// Parses and measures, and takes what it may cost from the viewer's budget.
    pub fn prepare(&self, mut parameters: Parameters, viewer: Viewer) -> Result<Prepared, Fault> {
        let Terms { documents, parsed, budget, server } = &*self.terms;
        let found = documents.find(&mut parameters, &viewer)?;
        let document = parsed.read(&found.text)?;
        let given = serde_json::Value::Object(parameters.variables);
        let variables = Variables::from_json(given.clone());
        let demand = check_cost(&document, &variables)?;
        if demand.asks_schema && !server.may_introspect(viewer.role) {
            let text = "the schema is not told to this key (server.introspection): take schema.graphql of the release";
            return Err(Fault::new(Code::Forbidden, text));
        }
        let operation = choose(&document, parameters.operation_name.as_deref())?;
        check_variables(operation, &variables)?;
        let kind = operation.ty;
        let order = Arc::new(Order::of(&operation.selection_set.node, &document.fragments));
        let key = Key {
            query: found.text.clone(),
            operation_name: parameters.operation_name.clone(),
            variables: without_places(operation, &found.text, &given).to_string(),
            role: viewer.role,
        };
        documents.keep(&found);
        budget.take(&viewer, demand.values)?;
        let mut request = Request::new(found.text).variables(variables).data(viewer.clone());
        request.operation_name = parameters.operation_name;
        request.set_parsed_query(ExecutableDocument::clone(&document));
        Ok(Prepared { request, kind, order, viewer, estimated_cost: demand.values, key, variables: given })
    }

    /// Answers a query or a mutation.
    pub async fn execute(&self, prepared: Prepared) -> Answered {
        let begun = Instant::now();
        let Prepared { request, kind, order, viewer, estimated_cost, .. } = prepared;
        let execution = AssertUnwindSafe(self.api.execute(request)).catch_unwind();
        let answered = match tokio::time::timeout(TIMEOUT, execution).await {
            Ok(Ok(mut response)) => {
                let actual = order.form(&mut response);
                Answered::of(response, Some(self.terms.budget.settle(&viewer, estimated_cost, actual)))
            }
            Ok(Err(_)) => Answered::refused(&Fault::internal(&Panicked)),
            Err(_) => {
                let message = format!("the request took longer than {} seconds; ask for less", TIMEOUT.as_secs());
                Answered::refused(&Fault::new(Code::Unavailable, message))
            }
        };
        let (kind, code) = (word(kind), answered.code.unwrap_or("OK"));
        metrics::counter!("profile_mirror_graphql_operations_total", "type" => kind, "code" => code).increment(1);
        metrics::histogram!("profile_mirror_graphql_operation_duration_seconds", "type" => kind)
            .record(begun.elapsed().as_secs_f64());
        answered
    }

    /// Starts a subscription; ends when the client leaves or the service stops.
    pub fn subscribe(&self, prepared: Prepared) -> impl Stream<Item = Answered> + Send + use<> {
        let Prepared { request, order, viewer, key, variables, .. } = prepared;
        self.executions.subscribe(&self.api, Subscription { key, variables, viewer, order }, request)
    }
}

impl Answered {
    /// The answer to a request that is not executed.
    pub fn refused(fault: &Fault) -> Self {
        let (json, content_bytes) = Body::refused(fault).to_json();
        Self {
            json,
            content_bytes,
            is_refused: true,
            is_without_data: true,
            code: Some(fault.code.as_str()),
            retry_after_seconds: fault.retry_after_seconds,
            cursor: None,
        }
    }

    /// An answer of a stream.
    pub(super) fn streamed(mut response: Response, order: &Order) -> Self {
        order.form(&mut response);
        Self::of(response, None)
    }

    /// The answer of the schema, with what it cost where that is told.
    fn of(response: Response, cost: Option<Cost>) -> Self {
        let is_refused = is_request_error(&response);
        let is_without_data = response.data == Value::Null;
        let body = Body::of(response, cost);
        let (json, content_bytes) = body.to_json();
        let code = body.first_code();
        Self { json, content_bytes, is_refused, is_without_data, code, retry_after_seconds: None, cursor: None }
    }
}

/// The operation of the document that a request means.
fn choose<'d>(document: &'d ExecutableDocument, name: Option<&str>) -> Result<&'d OperationDefinition, Fault> {
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

/// The executor would find a missing variable only where it is used, in the middle of its work.
fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), Fault> {
    let missing = operation.variable_definitions.iter().map(|definition| &definition.node).find(|definition| {
        let is_required = !definition.var_type.node.nullable && definition.default_value.is_none();
        let given = variables.get(&definition.name.node);
        (is_required && given.is_none())
            || (!definition.var_type.node.nullable && given.is_some_and(|value| *value == Value::Null))
    });
    missing.map_or(Ok(()), |definition| {
        let (name, kind) = (&definition.name.node, &definition.var_type.node);
        Err(Fault::new(Code::BadUserInput, format!("variable ${name} of type {kind} is missing, or null")))
    })
}

fn word(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}
