//! Gives an answer the form of the specification: failed fields are null, and fields stand in the order of the document.
//!
//! The executor leaves a failed field out, and writes a field when it is resolved. Most objects are in order already, so
//! that little more than looking is left to do. Type conditions are not looked at: a field that fragments on several types
//! ask for stands where the first of them has it.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{FragmentDefinition, Selection, SelectionSet};
use async_graphql::{Name, PathSegment, Positioned, Response, ServerError, Value};
use std::collections::HashMap;

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// The names that a selection answers with, in order, with those below each.
#[derive(Debug, Default)]
pub(super) struct Order {
    fields: IndexMap<Name, Order>,
}

impl Order {
    /// The order of a selection that has been measured: its fragments end.
    pub fn of(set: &SelectionSet, fragments: &Fragments) -> Self {
        let mut order = Self::default();
        order.add(set, fragments);
        order
    }

    fn add(&mut self, set: &SelectionSet, fragments: &Fragments) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let inner = self.fields.entry(field.node.response_key().node.clone()).or_default();
                    inner.add(&field.node.selection_set.node, fragments);
                }
                Selection::InlineFragment(inline) => self.add(&inline.node.selection_set.node, fragments),
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = fragments.get(&spread.node.fragment_name.node) {
                        self.add(&fragment.node.selection_set.node, fragments);
                    }
                }
            }
        }
    }

    fn holds_in(&self, fields: &IndexMap<Name, Value>) -> bool {
        let mut expected = self.fields.keys();
        fields.keys().all(|name| expected.any(|one| one == name))
    }

    /// Gives the data of a response its form, and counts its fields.
    pub fn form(&self, response: &mut Response) -> u64 {
        for error in &response.errors {
            write_null(&mut response.data, error);
        }
        self.arrange(&mut response.data)
    }

    /// Puts the fields of a value in order, and counts them.
    fn arrange(&self, value: &mut Value) -> u64 {
        match value {
            Value::Object(fields) => {
                if !self.holds_in(fields) {
                    fields.sort_by_cached_key(|name, _| self.fields.get_index_of(name));
                }
                let below = fields.iter_mut().map(|(name, value)| match value {
                    Value::Object(_) | Value::List(_) => {
                        let order = self.fields.get(name).filter(|order| !order.fields.is_empty());
                        order.map_or(0, |order| order.arrange(value))
                    }
                    _ => 0,
                });
                below.sum::<u64>() + fields.len() as u64
            }
            Value::List(values) => values.iter_mut().map(|value| self.arrange(value)).sum(),
            _ => 0,
        }
    }
}

/// Writes null at the first place on the path of an error that the data does not have.
fn write_null(data: &mut Value, error: &ServerError) {
    let mut place = data;
    for segment in &error.path {
        let below = match (segment, place) {
            (PathSegment::Field(name), Value::Object(fields)) => fields.entry(Name::new(name)).or_insert(Value::Null),
            (PathSegment::Index(index), Value::List(values)) => match values.get_mut(*index) {
                Some(value) => value,
                None => return,
            },
            _ => return,
        };
        place = below;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::value;

    fn order(document: &str) -> Order {
        let document = async_graphql::parser::parse_query(document).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        Order::of(&operation.node.selection_set.node, &document.fragments)
    }

    #[test]
    fn fields_come_in_the_order_of_the_document() {
        let order = order("{ b a { d: x c } ...f } fragment f on Q { e a { z } }");
        let mut answer =
            value!({ "e": 1, "a": [{ "z": 1, "c": 2, "d": 3 }, null, { "d": 4, "c": 5, "z": 6 }], "b": 2 });
        assert_eq!(order.arrange(&mut answer), 9);
        let expected = r#"{"b":2,"a":[{"d":3,"c":2,"z":1},null,{"d":4,"c":5,"z":6}],"e":1}"#;
        assert_eq!(serde_json::to_string(&answer).unwrap(), expected);
    }

    #[test]
    fn failed_fields_are_null_in_their_place() {
        let failed = |path: &[PathSegment]| {
            let mut error = ServerError::new("no", None);
            error.path = path.to_vec();
            error
        };
        let field = |name: &str| PathSegment::Field(name.to_owned());
        let mut response = Response::new(value!({ "list": [{ "c": 1 }, null], "z": 2 }));
        response.errors = vec![
            failed(&[field("list"), PathSegment::Index(0), field("b")]),
            failed(&[field("list"), PathSegment::Index(1), field("b")]),
            failed(&[field("y"), field("deeper")]),
            failed(&[]),
        ];
        assert_eq!(order("{ y { deeper } list { b c } z }").form(&mut response), 5);
        let expected = r#"{"y":null,"list":[{"b":null,"c":1},null],"z":2}"#;
        assert_eq!(serde_json::to_string(&response.data).unwrap(), expected);

        let mut nothing = Response::new(Value::Null);
        nothing.errors = vec![failed(&[field("y")])];
        order("{ y { deeper } }").form(&mut nothing);
        assert_eq!(nothing.data, Value::Null);
    }

    #[test]
    fn values_of_scalars_are_left_as_they_are() {
        let order = order("{ a }");
        let mut answer = value!({ "a": { "y": 1, "x": 2 } });
        assert_eq!(order.arrange(&mut answer), 1);
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"a":{"y":1,"x":2}}"#);
    }
}
