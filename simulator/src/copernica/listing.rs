//! List parameters: conditions, order, paging. What is not understood is ignored, as Copernica does.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::schema::{Field, FieldKind, find_field};
use super::world::{local_time, value_at};
use crate::http::Call;

/// What a condition looks at in a row.
pub(crate) struct Row<'a> {
    pub(crate) values: &'a [Box<str>],
    pub(crate) modified: i64,
    pub(crate) secret: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    Unlike,
}

/// Longer ones first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 9] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<>", Operator::Unequal),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("=~", Operator::Like),
    ("!~", Operator::Unlike),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

#[derive(Debug)]
enum Subject {
    Id,
    Code,
    Modified,
    Field(usize),
}

#[derive(Debug)]
struct Condition {
    subject: Subject,
    operator: Operator,
    value: String,
}

/// Which ids no list tells, and by how much totals are too high.
pub(crate) type Lies = (Arc<HashSet<String>>, usize);

/// The live rows that a list tells; by how much its total is too high, and the most rows on one page.
pub(crate) struct Told<'a> {
    live: Cow<'a, BTreeSet<u64>>,
    overstated: usize,
    most: i64,
}

impl<'a> Told<'a> {
    /// All live rows but those that no list tells.
    pub(crate) fn of(live: &'a BTreeSet<u64>, (unlisted, overstated): &Lies, most: i64) -> Self {
        let live = if unlisted.is_empty() {
            Cow::Borrowed(live)
        } else {
            Cow::Owned(live.iter().copied().filter(|id| !unlisted.contains(&id.to_string())).collect())
        };
        Self { live, overstated: *overstated, most }
    }
}

/// One page of ids and the numbers of its envelope.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) start: i64,
    pub(crate) limit: i64,
    pub(crate) total: Option<usize>,
    pub(crate) ids: Vec<u64>,
    pub(crate) next: Option<u64>,
}

/// Selects a page of the live rows.
pub(crate) fn select<'a>(call: &Call, fields: &[Field], told: &Told<'_>, row: impl Fn(u64) -> Option<Row<'a>>) -> Page {
    let live = told.live.as_ref();
    let (start, limit) = paging(call, 100, told.most);
    let wants_total = call.query("total") != Some("false");
    let conditions = conditions(call, fields);
    let (range, others) = narrow(conditions);
    let order = Order::read(call, fields);
    let matches =
        |id: &u64| others.is_empty() || row(*id).is_some_and(|row| others.iter().all(|it| it.holds(*id, &row, fields)));
    let within = || live.range(range).copied();
    let (skip, take) = (usize::try_from(start).unwrap_or(0), usize::try_from(limit).unwrap_or(0));
    let nothing = start < 0 || limit <= 0;

    let (ids, total, next) = match order {
        Order::Id { descending: false } => {
            let mut found = within().filter(matches).skip(skip);
            let ids: Vec<u64> = found.by_ref().take(take).collect();
            let next = found.next();
            let whole = others.is_empty() && range == (Bound::Unbounded, Bound::Unbounded);
            let total = wants_total.then(|| if whole { live.len() } else { within().filter(matches).count() });
            (ids, total, next)
        }
        _ => {
            let mut ids: Vec<u64> = within().filter(matches).collect();
            order.sort(&mut ids, fields, &row);
            let total = wants_total.then_some(ids.len());
            (ids.into_iter().skip(skip).take(take).collect(), total, None)
        }
    };
    let (ids, next) = if nothing { (Vec::new(), None) } else { (ids, next) };
    Page { start, limit, total: total.map(|total| total + told.overstated), ids, next }
}

/// `start` and `limit`: not a number is 0, too much is capped, negative is echoed.
pub(crate) fn paging(call: &Call, default_limit: i64, most: i64) -> (i64, i64) {
    let number = |name: &str| call.query(name).map(|text| text.trim().parse::<i64>().unwrap_or(0));
    (number("start").unwrap_or(0), number("limit").unwrap_or(default_limit).min(most))
}

type IdRange = (Bound<u64>, Bound<u64>);

/// Takes the conditions on `id` out into a range.
fn narrow(conditions: Vec<Condition>) -> (IdRange, Vec<Condition>) {
    let (mut low, mut high) = (0_u64, u64::MAX);
    let mut narrowed = false;
    let mut others = Vec::new();
    for condition in conditions {
        let number = condition.value.trim().parse::<u64>().ok().filter(|_| matches!(condition.subject, Subject::Id));
        match (number, condition.operator) {
            (Some(id), Operator::Greater) => low = low.max(id.saturating_add(1)),
            (Some(id), Operator::GreaterOrEqual) => low = low.max(id),
            (Some(id), Operator::Less) => high = high.min(id.saturating_sub(1)),
            (Some(id), Operator::LessOrEqual) => high = high.min(id),
            (Some(id), Operator::Equal) => (low, high) = (low.max(id), high.min(id)),
            _ => {
                others.push(condition);
                continue;
            }
        }
        narrowed = true;
    }
    if !narrowed {
        return ((Bound::Unbounded, Bound::Unbounded), others);
    }
    if low > high {
        // An empty range that BTreeSet does not panic on.
        return ((Bound::Included(u64::MAX), Bound::Included(u64::MAX)), others);
    }
    ((Bound::Included(low), Bound::Included(high)), others)
}

fn conditions(call: &Call, fields: &[Field]) -> Vec<Condition> {
    let is_fields = |name: &str| name == "fields" || (name.starts_with("fields[") && name.ends_with(']'));
    call.query
        .iter()
        .filter(|(name, _)| is_fields(name))
        .filter_map(|(_, text)| Condition::read(text, fields))
        .collect()
}

impl Condition {
    /// Reads `name<op>value`; None where it is to be ignored.
    fn read(text: &str, fields: &[Field]) -> Option<Self> {
        let at = text.find(['=', '!', '<', '>'])?;
        let (name, rest) = text.split_at(at);
        let (symbol, operator) = OPERATORS.into_iter().find(|(symbol, _)| rest.starts_with(symbol))?;
        let subject = match find_field(fields, name) {
            Some(at) => Subject::Field(at),
            None => match name.to_ascii_lowercase().as_str() {
                "id" => Subject::Id,
                "code" => Subject::Code,
                "modified" => Subject::Modified,
                _ => return None,
            },
        };
        Some(Self { subject, operator, value: rest[symbol.len()..].to_owned() })
    }

    fn holds(&self, id: u64, row: &Row<'_>, fields: &[Field]) -> bool {
        match &self.subject {
            Subject::Id => self.compare(&id.to_string(), true, false),
            Subject::Code => self.compare(&row.secret, false, false),
            Subject::Modified => self.compare(&local_time(row.modified), false, false),
            Subject::Field(at) => {
                let kind = &fields[*at].kind;
                let value = value_at(fields, row.values, *at, false);
                self.compare(value, kind.is_numeric(), matches!(kind, FieldKind::Select(_)))
            }
        }
    }

    fn compare(&self, actual: &str, numeric: bool, case_counts: bool) -> bool {
        let fold = |text: &str| if case_counts { text.to_owned() } else { text.to_lowercase() };
        match self.operator {
            Operator::Like => is_like(&fold(actual), &fold(&self.value)),
            Operator::Unlike => !is_like(&fold(actual), &fold(&self.value)),
            operator => {
                let order = if numeric {
                    let number = |text: &str| text.trim().parse::<f64>().unwrap_or(0.0);
                    number(actual).partial_cmp(&number(&self.value)).unwrap_or(Ordering::Equal)
                } else {
                    fold(actual).cmp(&fold(&self.value))
                };
                match operator {
                    Operator::Equal => order.is_eq(),
                    Operator::Unequal => order.is_ne(),
                    Operator::Less => order.is_lt(),
                    Operator::LessOrEqual => order.is_le(),
                    Operator::Greater => order.is_gt(),
                    _ => order.is_ge(),
                }
            }
        }
    }
}

/// SQL's LIKE: `%` is any text, `_` any character.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    for symbol in pattern {
        if symbol == '%' {
            let first = reachable.iter().position(|is| *is).unwrap_or(reachable.len());
            reachable.iter_mut().skip(first).for_each(|is| *is = true);
        } else {
            for at in (0..text.len()).rev() {
                reachable[at + 1] = reachable[at] && (symbol == '_' || symbol == text[at]);
            }
            reachable[0] = false;
        }
    }
    reachable[text.len()]
}

enum Order {
    Id { descending: bool },
    Modified { descending: bool },
    Field { at: usize, descending: bool },
    Random,
}

impl Order {
    fn read(call: &Call, fields: &[Field]) -> Self {
        let descending = matches!(call.query("order"), Some("desc" | "descending"));
        match call.query("orderby").unwrap_or("id") {
            "modified" => Self::Modified { descending },
            "random" => Self::Random,
            name => find_field(fields, name).map_or(Self::Id { descending }, |at| Self::Field { at, descending }),
        }
    }

    fn sort<'a>(&self, ids: &mut [u64], fields: &[Field], row: impl Fn(u64) -> Option<Row<'a>>) {
        match self {
            Self::Id { .. } => {}
            Self::Modified { .. } => ids.sort_by_cached_key(|id| row(*id).map(|row| row.modified)),
            Self::Field { at, .. } if fields[*at].kind.is_numeric() => ids.sort_by_cached_key(|id| {
                let number = row(*id).and_then(|row| value_at(fields, row.values, *at, false).parse::<f64>().ok());
                (number.unwrap_or(0.0) * 1e6) as i64
            }),
            Self::Field { at, .. } => {
                ids.sort_by_cached_key(|id| {
                    row(*id).map(|row| value_at(fields, row.values, *at, false).to_lowercase())
                });
            }
            Self::Random => ids.shuffle(&mut ChaCha8Rng::seed_from_u64(ids.len() as u64)),
        }
        if let Self::Id { descending: true }
        | Self::Modified { descending: true }
        | Self::Field { descending: true, .. } = self
        {
            ids.reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_knows_its_wildcards() {
        assert!(is_like("soccer", "s%r"));
        assert!(is_like("soccer", "_occer"));
        assert!(is_like("", "%"));
        assert!(!is_like("soccer", "occ"));
    }

    #[test]
    fn a_space_before_the_operator_makes_a_condition_ignored() {
        assert!(Condition::read("id >5", &[]).is_none());
        assert!(Condition::read("nonsense==5", &[]).is_none());
        assert!(Condition::read("id>5", &[]).is_some());
    }
}
