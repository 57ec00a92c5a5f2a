//! The words of a profile that search looks at.

use sea_orm::entity::prelude::*;

/// The words of a profile that search looks at.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "profile_search")]
pub struct Model {
    /// The profile.
    #[sea_orm(primary_key, auto_increment = false)]
    pub profile_id: i64,
    /// Revision of the profile that the words are of.
    pub revision: i64,
    /// Words of its name, with a space before, between and behind them.
    pub name: String,
    /// All its words, each once, with a space between them.
    pub words: String,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
