//! Lists of fields. A page of profiles holds a thousand of them, and of nearly all a client asks for what is in memory, names
//! and values: those are written down as they are. The executor, which makes a future of each, has all others.

use super::field::Field;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{Field as Asked, Selection};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::resolve_list;
use async_graphql::{ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value};
use std::borrow::Cow;

/// What a field knows of itself.
#[derive(Clone, Copy)]
pub(super) enum Leaf {
    TypeName,
    Name,
    Label,
    Type,
    Value,
    Text,
}

/// The fields of a record.
pub(super) struct FieldList<'a>(pub Vec<Field<'a>>);

impl OutputType for FieldList<'_> {
    fn type_name() -> Cow<'static, str> {
        <Vec<Field<'_>> as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Vec<Field<'_>> as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, asked: &Positioned<Asked>) -> ServerResult<Value> {
        let Some(leaves) = leaves(&ctx.item.node.items) else {
            return resolve_list(ctx, asked, &self.0, Some(self.0.len())).await;
        };
        let object = |field: &Field<'_>| -> IndexMap<Name, Value> {
            leaves.iter().map(|(key, leaf)| ((*key).clone(), field.leaf(*leaf))).collect()
        };
        Ok(Value::List(self.0.iter().map(|field| Value::Object(object(field))).collect()))
    }
}

/// What is asked for, under which key; none where that is more than leaves.
fn leaves(selections: &[Positioned<Selection>]) -> Option<Vec<(&Name, Leaf)>> {
    selections.iter().map(|selection| leaf(&selection.node)).collect()
}

fn leaf(selection: &Selection) -> Option<(&Name, Leaf)> {
    let Selection::Field(asked) = selection else { return None };
    let leaf = match asked.node.name.node.as_str() {
        "__typename" => Leaf::TypeName,
        "name" => Leaf::Name,
        "label" => Leaf::Label,
        "type" => Leaf::Type,
        "value" => Leaf::Value,
        "text" => Leaf::Text,
        _ => return None,
    };
    asked.node.directives.is_empty().then_some((&asked.node.response_key().node, leaf))
}
