//! Profiles: pages, counts, by key, by id.

use super::keyset::{self, Order, Page, Slice};
use super::predicate::Scope;
use super::reader::{Reading, padded};
use super::{Predicate, ReadError, Reader, Sources};
use ::entity::{Status, profile};
use sea_orm::sea_query::{Condition, Expr, ExprTrait};
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter, QuerySelect,
    QueryTrait, Select,
};

/// A profile by its source and upstream id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProfileKey {
    /// Its source.
    pub source_id: i32,
    /// Its upstream id.
    pub external_id: String,
}

impl Reader {
    /// A page of the profiles that pass. Deleted ones are left out unless the predicate names a status.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profiles(
        &self,
        predicate: Option<&Predicate>,
        order: &[Order],
        page: &Page,
    ) -> Result<Slice<profile::Model>, ReadError> {
        let wanted = page.limit.rows() + 1;
        let mut rows = Vec::new();
        for query in self.profile_queries(predicate, order, page).await? {
            let missing = wanted - u64::try_from(rows.len()).unwrap_or(wanted);
            if missing > 0 {
                let connection = self.connection();
                let mut statement = connection.get_database_backend().build(&query.into_query());
                // Not bound: PostgreSQL would plan each page anew, since without the limit no plan looks as cheap.
                statement.sql.push_str(&format!(" LIMIT {missing}"));
                let page = profile::Model::find_by_statement(statement);
                rows.extend(page.all(connection).await.reading("a page of profiles")?);
            }
        }
        Ok(Slice::cut(rows, page.limit, page.after.is_some(), page.before.is_some()))
    }

    /// The queries that bring a page, one after the other until it is full.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profile_queries(
        &self,
        predicate: Option<&Predicate>,
        order: &[Order],
        page: &Page,
    ) -> Result<Vec<Select<profile::Entity>>, ReadError> {
        let query = self.passing(predicate).await?;
        let (mut rare, mut group) = (None, None);
        if let Some(predicate) = predicate {
            let sources = self.sources().await?;
            let scope = self.scope(&sources);
            rare = self.rare(predicate, scope).await?;
            group = self.group_of_page(predicate, scope, order).await?;
        }
        // After the place of the page: of two bounds on ids SQLite begins at the first.
        let found_by = |page: Select<profile::Entity>| {
            rare.clone().into_iter().chain(group.clone()).fold(page, QueryFilter::filter)
        };
        let parts = keyset::parts(order, page).into_iter();
        Ok(parts.map(|part| found_by(keyset::page(query.clone(), self.dialect(), order, page, part))).collect())
    }

    /// How many profiles pass; counts as [`Reader::profiles`] lists.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn count_profiles(&self, predicate: Option<&Predicate>) -> Result<u64, ReadError> {
        let mut query = self.passing(predicate).await?;
        if let Some(predicate) = predicate {
            let sources = self.sources().await?;
            let group = self.group_to_count(predicate, self.scope(&sources)).await?;
            query = group.into_iter().fold(query, QueryFilter::filter);
        }
        query.count(self.connection()).await.reading("the number of profiles")
    }

    async fn passing(&self, predicate: Option<&Predicate>) -> Result<Select<profile::Entity>, ReadError> {
        let mut query = profile::known();
        if !predicate.is_some_and(Predicate::names_status) {
            // Written out: bound, PostgreSQL would take nobody to pass where all have one status, and plan each page anew.
            query = query.filter(Expr::cust(format!("\"profile\".\"status\" <> '{}'", Status::Deleted.to_value())));
        }
        if let Some(predicate) = predicate {
            let sources = self.sources().await?;
            query = query.filter(predicate.to_sql(self.scope(&sources)));
        }
        Ok(query)
    }

    fn scope<'a>(&self, sources: &'a Sources) -> Scope<'a> {
        Scope { dialect: self.dialect(), sources, table: "profile" }
    }

    /// Which of the profiles with these ids pass, in no order; deleted ones and placeholders are tested like the others.
    /// One statement: for predicates that need the database.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn passing_ids(&self, ids: &[i64], predicate: &Predicate) -> Result<Vec<i64>, ReadError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sources = self.sources().await?;
        profile::Entity::find()
            .select_only()
            .column(profile::Column::Id)
            .filter(profile::Column::Id.is_in(padded(ids)))
            .filter(predicate.to_sql(self.scope(&sources)))
            .into_tuple()
            .all(self.connection())
            .await
            .reading("which profiles pass")
    }

    /// The known profiles with these keys, deleted ones too.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profiles_by_keys(&self, keys: &[ProfileKey]) -> Result<Vec<profile::Model>, ReadError> {
        let mut any = Condition::any();
        for source_id in keys.iter().map(|key| key.source_id).collect::<std::collections::BTreeSet<_>>() {
            let of_source = keys.iter().filter(|key| key.source_id == source_id);
            let ids: Vec<String> = of_source.map(|key| key.external_id.clone()).collect();
            any = any.add(profile::Column::SourceId.eq(source_id).and(profile::Column::ExternalId.is_in(padded(&ids))));
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        profile::known().filter(any).all(self.connection()).await.reading("profiles by key")
    }

    /// Row id of the profile with this key, a placeholder too: verdicts are about those as well.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profile_row_id(&self, key: &ProfileKey) -> Result<Option<i64>, ReadError> {
        profile::Entity::find()
            .filter(profile::Column::SourceId.eq(key.source_id))
            .filter(profile::Column::ExternalId.eq(key.external_id.clone()))
            .select_only()
            .column(profile::Column::Id)
            .into_tuple()
            .one(self.connection())
            .await
            .reading("the row of a profile")
    }

    /// The profiles with these ids, placeholders too: they are what an end of a relationship may be.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn profiles_by_ids(&self, ids: &[i64]) -> Result<Vec<profile::Model>, ReadError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        profile::Entity::find()
            .filter(profile::Column::Id.is_in(padded(ids)))
            .all(self.connection())
            .await
            .reading("profiles by id")
    }
}
