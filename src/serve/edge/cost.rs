//! What a parsed document costs, measured before the validator sees it.
//!
//! The validator walks every spread of every fragment: twenty fragments that spread the next one twice are a million
//! fields. Here each fragment is measured once.

use super::shape::MAX_BRACKETS;
use crate::mirror::read::MAX_PAGE;
use crate::serve::graphql::{Code, Fault};
use async_graphql::Variables;
use async_graphql::parser::types::{ExecutableDocument, Field, FragmentDefinition, Selection, SelectionSet};
use async_graphql::{Name, Positioned, Value};
use std::collections::HashMap;
use std::convert::Infallible;

const MAX_OPERATIONS: usize = 10;
const MAX_FRAGMENTS: usize = 30;
const MAX_FIELDS: u64 = 5_000;
const MAX_DIRECTIVES: usize = 10;
const MAX_DEPTH: u64 = 16;
const MAX_COST: u64 = 50_000;
const MAX_ALIASES: u64 = 30;
const MAX_ROOT_FIELDS: u64 = 20;
/// What it costs to count a list: it is read, however long it is.
const COUNTING: u64 = 100;
/// Lists inside lists of the schema's own description, as the usual introspection query nests them.
const MAX_INTROSPECTION_LISTS: u64 = 3;

/// What a document asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// Values that it may read, with pages as full as they can be. Lists without pages count once.
    pub values: u64,
    /// It asks the schema to describe itself.
    pub asks_schema: bool,
}

/// What a selection costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Measure {
    /// Fields, each as often as it stands after spreading.
    fields: u64,
    /// Fields, each as often as pages can repeat it.
    cost: u64,
    depth: u64,
    aliases: u64,
    introspection_lists: u64,
    asks_schema: bool,
}

impl Measure {
    fn and(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            cost: self.cost.saturating_add(other.cost),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            introspection_lists: self.introspection_lists.max(other.introspection_lists),
            asks_schema: self.asks_schema || other.asks_schema,
        }
    }
}

struct Meter<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// Measured fragments; none for one that is being measured.
    known: HashMap<&'a str, Option<Measure>>,
    variables: &'a Variables,
    defaults: HashMap<&'a str, &'a Value>,
}

/// Says what a document asks for, and refuses one that asks for too much.
pub(super) fn check_cost(document: &ExecutableDocument, variables: &Variables) -> Result<Demand, Fault> {
    let complex = |what: &str, found: u64, allowed: u64| {
        Fault::new(Code::QueryTooComplex, format!("{found} {what}; {allowed} are allowed: ask for less at once"))
    };
    let operations = document.operations.iter().count();
    if operations > MAX_OPERATIONS {
        return Err(complex("operations", operations as u64, MAX_OPERATIONS as u64));
    }
    if document.fragments.len() > MAX_FRAGMENTS {
        return Err(complex("fragments", document.fragments.len() as u64, MAX_FRAGMENTS as u64));
    }
    let defaults = document.operations.iter().flat_map(|(_, operation)| &operation.node.variable_definitions);
    let defaults = defaults.filter_map(|definition| {
        let default = definition.node.default_value.as_ref()?;
        Some((definition.node.name.node.as_str(), &default.node))
    });
    let mut meter =
        Meter { fragments: &document.fragments, known: HashMap::new(), variables, defaults: defaults.collect() };
    let mut whole = Measure::default();
    for (_, operation) in document.operations.iter() {
        let root = &operation.node.selection_set.node;
        whole = whole.and(meter.measure(root, 0)?);
        let roots = meter.count_roots(root, 0);
        if roots > MAX_ROOT_FIELDS {
            return Err(complex("fields at the root", roots, MAX_ROOT_FIELDS));
        }
    }
    // The validator walks fragments that nobody spreads as well.
    for name in document.fragments.keys() {
        whole = Measure { cost: whole.cost, ..whole.and(meter.measure_fragment(name.as_str(), 0)?) };
    }
    if whole.depth > MAX_DEPTH {
        let message = format!("fields are nested {} deep; {MAX_DEPTH} are allowed", whole.depth);
        return Err(Fault::new(Code::QueryTooDeep, message));
    }
    if whole.introspection_lists > MAX_INTROSPECTION_LISTS {
        return Err(Fault::new(Code::QueryTooDeep, "the schema is asked for itself in itself: nest fewer lists"));
    }
    if whole.aliases > MAX_ALIASES {
        return Err(complex("aliases", whole.aliases, MAX_ALIASES));
    }
    if whole.cost > MAX_COST {
        return Err(complex("values that the pages may hold", whole.cost, MAX_COST));
    }
    Ok(Demand { values: whole.cost, asks_schema: whole.asks_schema })
}

impl<'a> Meter<'a> {
    fn measure(&mut self, set: &'a SelectionSet, level: usize) -> Result<Measure, Fault> {
        if level > MAX_BRACKETS {
            let message = format!("fields and fragments are nested deeper than {MAX_BRACKETS}");
            return Err(Fault::new(Code::QueryTooDeep, message));
        }
        let mut sum = Measure::default();
        for item in &set.items {
            if item.node.directives().len() > MAX_DIRECTIVES {
                let message = format!("more than {MAX_DIRECTIVES} directives in one place");
                return Err(Fault::new(Code::QueryTooComplex, message));
            }
            let one = match &item.node {
                Selection::Field(field) => self.measure_field(&field.node, level)?,
                Selection::InlineFragment(inline) => self.measure(&inline.node.selection_set.node, level + 1)?,
                Selection::FragmentSpread(spread) => {
                    self.measure_fragment(spread.node.fragment_name.node.as_str(), level)?
                }
            };
            sum = sum.and(one);
            if sum.fields > MAX_FIELDS {
                let message = format!("more than {MAX_FIELDS} fields once fragments are spread: ask for less at once");
                return Err(Fault::new(Code::QueryTooComplex, message));
            }
        }
        Ok(sum)
    }

    fn measure_field(&mut self, field: &'a Field, level: usize) -> Result<Measure, Fault> {
        let inner = self.measure(&field.selection_set.node, level + 1)?;
        let name = field.name.node.as_str();
        let is_meta_list = matches!(name, "fields" | "inputFields" | "interfaces" | "possibleTypes");
        let aliases = inner.aliases.saturating_add(u64::from(field.alias.is_some()));
        let fields = inner.fields.saturating_add(1);
        if matches!(name, "__schema" | "__type") {
            // The schema's own description has rules of its own: the usual query for it is deep.
            let introspection_lists = inner.introspection_lists;
            return Ok(Measure { fields, cost: fields, depth: 1, aliases, introspection_lists, asks_schema: true });
        }
        let itself = if name == "totalCount" { COUNTING } else { 1 };
        Ok(Measure {
            fields,
            cost: inner.cost.saturating_mul(self.rows(field)?).saturating_add(itself),
            depth: inner.depth.saturating_add(1),
            aliases,
            introspection_lists: inner.introspection_lists + u64::from(is_meta_list),
            asks_schema: inner.asks_schema,
        })
    }

    fn measure_fragment(&mut self, name: &str, level: usize) -> Result<Measure, Fault> {
        // A fragment that is not there is for the validator to tell.
        // It counts as a field all the same: whoever walks the document meets it as often as it is spread.
        let Some((name, fragment)) = self.fragments.get_key_value(name) else {
            return Ok(Measure { fields: 1, ..Measure::default() });
        };
        match self.known.get(name.as_str()) {
            Some(Some(measure)) => return Ok(*measure),
            Some(None) => {
                let message = format!("fragment {name} spreads itself");
                return Err(Fault::new(Code::ValidationFailed, message));
            }
            None => {}
        }
        self.known.insert(name.as_str(), None);
        let measure = self.measure(&fragment.node.selection_set.node, level + 1)?;
        self.known.insert(name.as_str(), Some(measure));
        Ok(measure)
    }

    /// Rows that a page may hold, or that are asked for by their ids.
    fn rows(&self, field: &Field) -> Result<u64, Fault> {
        let variable = |variable: Name| {
            let given = self.variables.get(&variable).or_else(|| self.defaults.get(variable.as_str()).copied());
            Ok::<_, Infallible>(given.cloned().unwrap_or_default())
        };
        let mut rows = 1;
        for argument in ["first", "last", "ids"] {
            // What is no number of rows is for the field to tell.
            let given = match field.get_argument(argument).map(|given| given.node.clone().into_const_with(variable)) {
                Some(Ok(Value::Number(number))) => number.as_u64().unwrap_or(0),
                Some(Ok(Value::List(list))) => list.len() as u64,
                _ => 0,
            };
            if given > u64::from(MAX_PAGE) {
                let name = &field.name.node;
                let message = format!("{name}: {argument} asks for {given}, a page holds {MAX_PAGE} at most");
                return Err(Fault::new(Code::PageTooLarge, message));
            }
            rows = rows.max(given);
        }
        Ok(rows)
    }

    fn count_roots(&self, set: &SelectionSet, level: usize) -> u64 {
        if level > MAX_FRAGMENTS {
            return 0;
        }
        let count = |item: &Positioned<Selection>| match &item.node {
            Selection::Field(_) => 1,
            Selection::InlineFragment(inline) => self.count_roots(&inline.node.selection_set.node, level + 1),
            Selection::FragmentSpread(spread) => {
                let fragment = self.fragments.get(&spread.node.fragment_name.node);
                fragment.map_or(0, |fragment| self.count_roots(&fragment.node.selection_set.node, level + 1))
            }
        };
        set.items.iter().map(count).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn demand(document: &str) -> Result<Demand, Code> {
        let parsed = async_graphql::parser::parse_query(document).map_err(|_| Code::ParseFailed)?;
        check_cost(&parsed, &Variables::default()).map_err(|fault| fault.code)
    }

    fn check(document: &str) -> Result<(), Code> {
        demand(document).map(drop)
    }

    #[test]
    fn doubling_fragments_are_refused_in_linear_time() {
        for fragments in [14, 26] {
            let mut document = "query { ...f0 }".to_owned();
            for one in 0..fragments {
                let next = one + 1;
                document += &format!(" fragment f{one} on Query {{ ...f{next} ...f{next} }}");
            }
            document += &format!(" fragment f{fragments} on Query {{ viewer {{ name }} }}");
            let begun = Instant::now();
            assert_eq!(check(&document), Err(Code::QueryTooComplex));
            assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        }
    }

    #[test]
    fn doubling_fragments_that_end_in_nothing_are_refused_in_linear_time() {
        let mut document = "query { ...f0 }".to_owned();
        for one in 0..26 {
            let next = one + 1;
            document += &format!(" fragment f{one} on Query {{ ...f{next} ...f{next} }}");
        }
        let begun = Instant::now();
        assert_eq!(check(&document), Err(Code::QueryTooComplex));
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_fragment_that_spreads_itself_is_refused() {
        assert_eq!(
            check("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"),
            Err(Code::ValidationFailed)
        );
    }

    #[test]
    fn depth_aliases_roots_and_cost_have_limits() {
        let nested = |depth: usize| format!("{}a{}", "{ a ".repeat(depth), " }".repeat(depth));
        assert_eq!(check(&nested(15)), Ok(()));
        assert_eq!(check(&nested(17)), Err(Code::QueryTooDeep));
        let aliases: String = (0..31).map(|n| format!(" a{n}: a")).collect();
        assert_eq!(check(&format!("{{ x {{ {aliases} }} }}")), Err(Code::QueryTooComplex));
        assert_eq!(check(&format!("{{ {} }}", "a ".repeat(21))), Err(Code::QueryTooComplex));
        assert_eq!(check("{ a(first: 100) { b(first: 100) { c d } } }"), Ok(()));
        assert_eq!(check("{ a(first: 100) { b(first: 100) { c(last: 100) { d } } } }"), Err(Code::QueryTooComplex));
    }

    #[test]
    fn pages_multiply_what_stands_below_them() {
        let values = |document: &str| demand(document).unwrap().values;
        assert_eq!(values("{ a }"), 1);
        assert_eq!(values("{ a { b c } }"), 3);
        assert_eq!(values("{ a(first: 50) { nodes { b c } } }"), 151);
        assert_eq!(values("{ a(first: 10) { b(last: 10) { c } } }"), 10 * 11 + 1);
        assert_eq!(values("query($n: Int = 20) { a(first: $n) { b } }"), 21);
        assert_eq!(values("{ nodes(ids: [\"a\", \"b\", \"c\"]) { b c } }"), 7);
        assert_eq!(values("query($i: [ID!]! = [\"a\", \"b\"]) { nodes(ids: $i) { b } }"), 3);
        assert_eq!(values("query($a: ID!) { nodes(ids: [$a, \"b\"]) { b } }"), 3);
        assert_eq!(values("{ a(first: 10) { totalCount } }"), 1_001);
    }

    #[test]
    fn a_page_that_is_too_large_is_refused_before_anything_is_read() {
        for document in ["{ a(first: 101) { b } }", "query($n: Int = 101) { c { a(last: $n) { b } } }"] {
            assert_eq!(check(document), Err(Code::PageTooLarge));
        }
        let ids = "\"a\", ".repeat(101);
        assert_eq!(check(&format!("{{ nodes(ids: [{ids}]) {{ id }} }}")), Err(Code::PageTooLarge));
        assert_eq!(check("{ a(first: -1) { b } }"), Ok(()), "the field tells what it expects");
    }

    #[test]
    fn a_question_to_the_schema_is_seen_through_fragments() {
        assert!(!demand("{ a { __typename } }").unwrap().asks_schema);
        assert!(demand("{ a ...f } fragment f on Query { __schema { description } }").unwrap().asks_schema);
        assert!(demand("{ ... { __type(name: \"A\") { name } } }").unwrap().asks_schema);
    }
}
