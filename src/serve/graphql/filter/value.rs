//! Tests on one value.

use super::negated;
use crate::mirror::read::{FieldTest, NumberTest, Predicate, TextTest};
use crate::serve::graphql::Fault;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::scalar::DateTime;
use async_graphql::InputObject;

const MAX_TEXT_BYTES: usize = 1000;
/// Values in one list.
pub(super) const MAX_VALUES: usize = 100;

/// A test on a text. Everything that is given must hold; no value fails every test but `isNull: true`.
#[derive(Clone, Debug, Default, InputObject)]
pub struct StringFilter {
    /// It is exactly this.
    eq: Option<String>,
    /// It is exactly one of these; at most 100.
    #[graphql(name = "in")]
    one_of: Option<Vec<String>>,
    /// It starts with this; the case of ASCII letters does not matter.
    starts_with: Option<String>,
    /// This stands in it; the case of ASCII letters does not matter.
    contains: Option<String>,
    /// There is no value (true), or there is one (false).
    is_null: Option<bool>,
}

/// A test on a number. Everything that is given must hold; a value that is no number fails all of them.
#[derive(Clone, Debug, Default, InputObject)]
pub struct FloatFilter {
    /// It is this.
    eq: Option<f64>,
    /// It is one of these; at most 100.
    #[graphql(name = "in")]
    one_of: Option<Vec<f64>>,
    /// It is greater than this.
    gt: Option<f64>,
    /// It is this or greater.
    gte: Option<f64>,
    /// It is smaller than this.
    lt: Option<f64>,
    /// It is this or smaller.
    lte: Option<f64>,
}

/// A range of time. What has no time is in no range.
#[derive(Clone, Debug, Default, InputObject)]
pub struct DateFilter {
    /// This moment or later.
    pub(super) from: Option<DateTime>,
    /// Earlier than this moment.
    pub(super) before: Option<DateTime>,
}

/// A test on one field. Everything that is given must hold.
#[derive(Clone, Debug, InputObject)]
pub struct FieldFilter {
    /// The field's name.
    name: String,
    /// A test on the text of its value, as upstream writes it; of a scored value its text.
    text: Option<StringFilter>,
    /// A test on its number: a JSON number, or a text such as `12.50`.
    number: Option<FloatFilter>,
    /// A test on its date: a day, or a day and a time of day to the second. Where upstream tells no zone it is taken as
    /// UTC; what has an offset from UTC is no date here.
    date: Option<DateFilter>,
    /// It is absent or empty (true), or it is neither (false).
    is_empty: Option<bool>,
}

impl StringFilter {
    pub(super) fn read(self, name: &str, of: &dyn Fn(TextTest) -> Predicate) -> Answer<Vec<Predicate>> {
        check_count(name, self.one_of.as_ref().map(Vec::len))?;
        let texts = [&self.eq, &self.starts_with, &self.contains];
        for text in texts.into_iter().flatten().chain(self.one_of.iter().flatten()) {
            check_text(name, text)?;
        }
        let tests = [
            self.eq.map(TextTest::Equals),
            self.one_of.map(TextTest::In),
            self.starts_with.map(TextTest::StartsWith),
            self.contains.map(TextTest::Contains),
        ];
        let mut read: Vec<_> = tests.into_iter().flatten().map(of).collect();
        if let Some(is_null) = self.is_null {
            let test = of(TextTest::IsAbsent);
            read.push(if is_null { test } else { negated(test) });
        }
        Ok(read)
    }
}

impl FloatFilter {
    fn read(self, name: &str) -> Answer<Vec<NumberTest>> {
        check_count(name, self.one_of.as_ref().map(Vec::len))?;
        let tests = [
            self.eq.map(|wanted| NumberTest::In(vec![wanted])),
            self.one_of.map(NumberTest::In),
            self.gt.map(NumberTest::Above),
            self.gte.map(NumberTest::AtLeast),
            self.lt.map(NumberTest::Below),
            self.lte.map(NumberTest::AtMost),
        ];
        Ok(tests.into_iter().flatten().collect())
    }
}

impl FieldFilter {
    fn read(self, place: &str) -> Answer<Vec<Predicate>> {
        let Self { name, text, number, date, is_empty } = self;
        check_text(&format!("{place}.name"), &name)?;
        let of = |test| Predicate::Field(name.clone(), test);
        let mut read = Vec::new();
        if let Some(test) = text {
            read.extend(test.read(&format!("{place}.text"), &|test| of(FieldTest::Text(test)))?);
        }
        if let Some(test) = number {
            let tests = test.read(&format!("{place}.number"))?;
            read.extend(tests.into_iter().map(|test| of(FieldTest::Number(test))));
        }
        if let Some(DateFilter { from, before }) = date {
            read.push(of(FieldTest::Date { from: from.map(|at| at.0), until: before.map(|at| at.0) }));
        }
        if let Some(is_empty) = is_empty {
            let test = of(FieldTest::Text(TextTest::IsEmpty));
            read.push(if is_empty { test } else { negated(test) });
        }
        Ok(read)
    }
}

/// The tests on fields that stand at a place of the filter.
pub(super) fn read_fields(place: &str, fields: Option<Vec<FieldFilter>>) -> Answer<Vec<Predicate>> {
    let read: Vec<Vec<_>> = fields.into_iter().flatten().map(|field| field.read(place)).collect::<Answer<_>>()?;
    Ok(read.into_iter().flatten().collect())
}

pub(super) fn check_count(name: &str, values: Option<usize>) -> Answer<()> {
    match values {
        Some(count) if count > MAX_VALUES => {
            Err(Fault::bad_input(format!("{name}: {count} values given, at most {MAX_VALUES} are allowed")))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_length(name: &str, text: &str) -> Answer<()> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Fault::bad_input(format!("{name}: expected a text of at most {MAX_TEXT_BYTES} bytes")));
    }
    Ok(())
}

/// PostgreSQL refuses a NUL inside a text, and no value of the mirror holds one.
pub(super) fn check_text(name: &str, text: &str) -> Answer<()> {
    if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
        return Err(Fault::bad_input(format!(
            "{name}: expected a text of at most {MAX_TEXT_BYTES} bytes, without NUL"
        )));
    }
    Ok(())
}
