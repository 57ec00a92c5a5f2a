//! A Copernica database, a Parallel profile type, a GetProfile tenant.

use crate::{Moment, ProfileKind};
use sea_orm::entity::prelude::*;

/// A Copernica database, a Parallel profile type, a GetProfile tenant.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "profile_type")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Its source.
    pub source_id: i32,
    /// Upstream id; unique within the source.
    pub external_id: String,
    /// Name for people.
    pub name: String,
    /// What its profiles are about.
    pub kind: ProfileKind,
    /// Its fields are known; false for a type that only a profile has named so far.
    pub has_metadata: bool,
    /// What unsubscribing does in it, in the provider's own word.
    pub unsubscribe_action: Option<String>,
    /// The values that unsubscribing gives to fields.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub unsubscribe_fields: Option<Json>,
    /// When its metadata was last confirmed.
    pub mirrored_at: Moment,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
