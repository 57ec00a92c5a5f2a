//! Statements for readers.
//!
//! In: ids, filters, places in a sort order. Out: rows of the entity crate, a page at a time.
//! Guaranteed: placeholders and tombstones of children never come out; every list has a hard maximum; each
//! function is one statement, counted by [`Reader::statements`], and reads alike on SQLite and PostgreSQL. A page of profiles
//! is two where it reaches those without a value in the first key, and up to five more where it must be known whether many
//! are of a source, a type or a status, or in a stretch of an index; subprofiles are two where a profile has many.
//! What changes seldom is kept in memory: sources, indexes, and the catalog of types and fields.
//! Deliberately absent: writes, raw bodies of deliveries, and anything about GraphQL.

mod catalog;
mod catalog_memory;
mod changes;
mod children;
mod drift;
mod erasures;
mod groups;
mod histories;
mod inbox;
mod indexes;
mod interests;
mod keyset;
mod past;
mod predicate;
mod profiles;
mod provenance;
mod rare;
mod reader;
mod relationships;
mod runs;
mod sources;
mod subprofiles;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use catalog_memory::{Catalog, Definitions};
pub use changes::LogSlice;
pub use children::ChildPage;
pub use drift::SampleCounts;
pub use erasures::{SourceCount, overdue_before};
pub use inbox::{DeliveryFilter, DeliveryRow, Waiting};
pub use interests::InterestRow;
pub use keyset::{Key, Limit, Order, Page, Place, Slice, SortKey};
pub use past::{LogPlace, PastError, PastPage, PastProfile, undo};
pub use predicate::{FieldTest, NumberTest, Predicate, Quantity, TextColumn, TextTest, TimeColumn};
pub use profiles::ProfileKey;
pub use provenance::ProvenanceRow;
pub use reader::{ReadError, Reader};
pub use relationships::{Direction, RelationshipRow};
pub use runs::{ChangesFound, DeletionsWaiting, RunFilter};
pub use sources::Sources;
pub use subprofiles::SubprofileRow;

pub use crate::mirror::words::{Sought, SoughtError};

/// Rows that one page holds at most.
pub const MAX_PAGE: u32 = 100;
