//! Tests on what hangs on a profile: interests, subprofiles, relationships.

use super::value::{FieldFilter, check_count, check_text, read_fields};
use super::{ProfileFilter, Reading};
use crate::mirror::read::{Predicate, Quantity, TextColumn, TextTest};
use crate::serve::graphql::Fault;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::global_id::{self, Kind};
use crate::serve::graphql::word::RelationshipDirection;
use async_graphql::{ID, InputObject};

/// A test on a list of texts. Everything that is given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct StringListFilter {
    /// This is in it.
    has: Option<String>,
    /// One of these is in it at least; at most 100.
    has_any: Option<Vec<String>>,
    /// Every one of these is in it; at most 100.
    has_all: Option<Vec<String>>,
}

/// Tests on the fields of one record. Every one holds.
#[derive(Clone, Debug, Default, InputObject)]
pub struct FieldFilterSet {
    /// The tests; none where any record passes.
    field: Option<Vec<FieldFilter>>,
}

/// A test on the subprofiles of a profile. Everything that is given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct SubprofileFilter {
    /// Only those of the collection of this name or external id.
    collection: Option<String>,
    /// One of them passes at least.
    some: Option<FieldFilterSet>,
    /// Not one of them passes.
    none: Option<FieldFilterSet>,
    /// Each of them passes; so it is where there is none.
    every: Option<FieldFilterSet>,
}

/// A relationship that stands, with a profile that passes.
#[derive(Clone, Debug, Default, InputObject)]
pub struct RelatedFilter {
    /// Only relationships of the type of this name, inverse name or external id.
    #[graphql(name = "type")]
    of_type: Option<String>,
    /// Only where the profile that is looked for is that end.
    direction: Option<RelationshipDirection>,
    /// The other profile passes this; it may not hold another `relatedTo`.
    profile: Option<Box<ProfileFilter>>,
    /// The other profile is that of this id.
    id: Option<ID>,
}

impl StringListFilter {
    pub(super) fn read(self) -> Answer<Vec<Predicate>> {
        check_count("interest.hasAny", self.has_any.as_ref().map(Vec::len))?;
        check_count("interest.hasAll", self.has_all.as_ref().map(Vec::len))?;
        let named = self.has.iter().chain(self.has_any.iter().flatten()).chain(self.has_all.iter().flatten());
        named.into_iter().try_for_each(|name| check_text("interest", name))?;
        let every = self.has.into_iter().chain(self.has_all.into_iter().flatten());
        let mut read: Vec<_> = every.map(|name| Predicate::Interest(vec![name])).collect();
        read.extend(self.has_any.map(Predicate::Interest));
        Ok(read)
    }
}

impl FieldFilterSet {
    /// The tests on the fields of a record, as the `filter` of a list of records.
    pub(in crate::serve::graphql) fn read(self) -> Answer<Predicate> {
        let tests = read_fields("filter.field", self.field)?;
        check_count("filter.field", Some(tests.len()))?;
        Ok(Predicate::All(tests))
    }
}

impl SubprofileFilter {
    pub(super) fn read(self, reading: &mut Reading) -> Answer<Vec<Predicate>> {
        if let Some(collection) = &self.collection {
            check_text("subprofile.collection", collection)?;
        }
        let all = [
            ("subprofile.some.field", Quantity::Some, self.some),
            ("subprofile.none.field", Quantity::None, self.none),
            ("subprofile.every.field", Quantity::Every, self.every),
        ];
        let mut read = Vec::new();
        for (place, quantity, set) in all {
            let Some(set) = set else { continue };
            let tests = read_fields(place, set.field)?;
            reading.count(tests.len())?;
            let (collection, test) = (self.collection.clone(), Box::new(Predicate::All(tests)));
            read.push(Predicate::Subprofiles { collection, quantity, test });
        }
        if read.is_empty() {
            return Err(Fault::bad_input("subprofile: say some, none or every"));
        }
        Ok(read)
    }
}

impl RelatedFilter {
    pub(super) fn read(self, depth: usize, reading: &mut Reading) -> Answer<Predicate> {
        if reading.is_of_other_end {
            return Err(Fault::bad_input("relatedTo: it may not stand inside another relatedTo"));
        }
        if let Some(kind) = &self.of_type {
            check_text("relatedTo.type", kind)?;
        }
        let mut other = Vec::new();
        if let Some(profile) = self.profile {
            reading.is_of_other_end = true;
            other.push(profile.read_at(depth + 1, reading)?);
            reading.is_of_other_end = false;
        }
        if let Some(id) = self.id {
            let named = global_id::decode(&id).filter(|id| id.kind == Kind::Profile);
            let named = named.ok_or_else(|| Fault::bad_input("relatedTo.id: expected the id of a profile"))?;
            other.push(Predicate::Source(TextTest::Equals(named.source)));
            other.push(Predicate::Text(TextColumn::ExternalId, TextTest::Equals(named.external_id)));
        }
        let direction = self.direction.map(Into::into);
        Ok(Predicate::Related { kind: self.of_type, direction, other: Box::new(Predicate::All(other)) })
    }
}
