//! Puts the fields of an answer in the order of the document.
//!
//! The executor writes a field when it is resolved; the specification wants the order in which fields were asked for. Most
//! objects are in order already, so that little more than looking is left to do; what that costs is not measured. Type conditions are not looked at:
//! a field that fragments on several types ask for stands where the first of them has it.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{FragmentDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Value};
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

    /// Puts the fields of a value in order, and counts them.
    pub fn arrange(&self, value: &mut Value) -> u64 {
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
    fn values_of_scalars_are_left_as_they_are() {
        let order = order("{ a }");
        let mut answer = value!({ "a": { "y": 1, "x": 2 } });
        assert_eq!(order.arrange(&mut answer), 1);
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"a":{"y":1,"x":2}}"#);
    }
}
