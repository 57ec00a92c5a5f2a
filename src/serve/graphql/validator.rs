//! Holds documents against the schema without running them.

use super::Schema;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument};
use async_graphql::{Request, Response};
use std::sync::Arc;

/// The schema, stopped before it executes anything.
pub(crate) struct Validator(Schema);

impl Validator {
    pub fn new() -> Self {
        Self(super::builder().extension(Stop).finish())
    }

    /// Whether a document fits the schema; a text says what does not.
    pub async fn check(&self, document: ExecutableDocument) -> Result<(), String> {
        let name = match &document.operations {
            DocumentOperations::Single(_) => None,
            DocumentOperations::Multiple(operations) => operations.keys().next().map(ToString::to_string),
        };
        let mut request = Request::new("");
        request.operation_name = name;
        request.set_parsed_query(document);
        let errors = self.0.execute(request).await.errors;
        let texts: Vec<_> = errors.into_iter().map(|error| error.message).collect();
        if texts.is_empty() { Ok(()) } else { Err(texts.join("; ")) }
    }
}

struct Stop;

impl ExtensionFactory for Stop {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Stop {
    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        Response::default()
    }
}
