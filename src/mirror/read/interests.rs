//! The interests that are on for profiles.

use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use ::entity::{interest, profile, profile_interest};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, Func, Query, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, FromQueryResult, Order};

/// An interest that is on.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct InterestRow {
    /// The profile.
    pub profile_id: i64,
    /// Its group, from the profile or else from its type; empty where neither tells.
    pub group_name: String,
    /// Its name.
    pub name: String,
}

impl Reader {
    /// The interests that are on for these profiles, by group and name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn interests(&self, profile_ids: &[i64]) -> Result<Vec<InterestRow>, ReadError> {
        let own = || Expr::col((profile_interest::Entity, profile_interest::Column::GroupName));
        let of_type = Query::select()
            .expr(Expr::col((interest::Entity, interest::Column::GroupName)).min())
            .from(interest::Entity)
            .and_where(
                Expr::col((interest::Entity, interest::Column::ProfileTypeId))
                    .equals((profile::Entity, profile::Column::ProfileTypeId)),
            )
            .and_where(
                Expr::col((interest::Entity, interest::Column::Name))
                    .equals((profile_interest::Entity, profile_interest::Column::Name)),
            )
            .take();
        let offered = Func::coalesce([SimpleExpr::SubQuery(None, Box::new(of_type.into())), Expr::val("")]);
        let group = CaseStatement::new().case(own().ne(""), own()).finally(offered);
        let query = Query::select()
            .column((profile_interest::Entity, profile_interest::Column::ProfileId))
            .expr_as(group, "group_name")
            .column((profile_interest::Entity, profile_interest::Column::Name))
            .from(profile_interest::Entity)
            .inner_join(
                profile::Entity,
                Expr::col((profile::Entity, profile::Column::Id))
                    .equals((profile_interest::Entity, profile_interest::Column::ProfileId)),
            )
            .and_where(profile_interest::Column::ProfileId.is_in(padded(profile_ids)))
            .order_by(("profile_interest", "profile_id"), Order::Asc)
            .order_by("group_name", Order::Asc)
            .order_by((profile_interest::Entity, profile_interest::Column::Name), Order::Asc)
            .take();
        let rows = self.connection().query_all(&query).await.reading("interests")?;
        rows.iter().map(|row| InterestRow::from_query_result(row, "")).collect::<Result<_, _>>().reading("interests")
    }
}
