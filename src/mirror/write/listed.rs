//! The records that a run must have named, as it finds them when its pages are over.

use entity::{Moment, Status, mix_record, profile, subprofile, sync_run};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveEnum, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

/// A row that a run may have missed.
#[derive(Clone, Debug)]
pub(crate) struct Missable {
    /// Row id.
    pub id: i64,
    /// External id.
    pub external_id: String,
}

/// A row as a run finds it when its pages are over.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Row id.
    pub id: i64,
    /// External id.
    pub external_id: String,
    /// Inbox position up to which the stored state is known to reflect upstream.
    pub position: i64,
    /// Inbox position of the newest delivery that told of it.
    pub told_at: i64,
    /// Row of the profile that it is, or hangs on.
    pub profile_id: i64,
    /// It is live, and a run of these terms must have named it.
    pub is_missable: bool,
    /// What is stored of it, mixed into 64 bits.
    pub digest: u64,
}

impl Listed {
    /// The row as one that a run may have missed.
    pub(crate) fn missable(&self) -> Missable {
        Missable { id: self.id, external_id: self.external_id.clone() }
    }
}

/// The word for the status of a subprofile in its digest.
pub(crate) fn subprofile_word(is_gone: bool) -> &'static str {
    if is_gone { "gone" } else { "alive" }
}

/// What is stored of a profile, mixed into 64 bits.
pub(crate) fn digest_of_profile(row: &profile::Model) -> u64 {
    mix_record(&row.external_id, row.row_hash, &row.status.to_value())
}

/// What is stored of a subprofile, mixed into 64 bits.
pub(crate) fn digest_of_subprofile(row: &subprofile::Model) -> u64 {
    mix_record(&row.external_id, row.row_hash, subprofile_word(row.deleted_at.is_some()))
}

/// Rows of a source in the order of their ids after `after` and up to `upto`. Whoever says that ids are above zero is served by
/// the index of that order; without it each step would look through all of the source and sort it.
fn in_order<E: EntityTrait>(
    [source_id, id]: [E::Column; 2],
    of_source: i32,
    after: i64,
    upto: i64,
    limit: u64,
) -> Select<E> {
    E::find()
        .select_only()
        .filter(source_id.eq(of_source))
        .filter(Expr::cust("id > 0"))
        .filter(id.gt(after))
        .filter(id.lte(upto))
        .order_by_asc(id)
        .limit(limit)
}

type ProfileRow = (i64, String, i64, i64, Status, bool, Option<i32>, i64);

/// Profiles of a source in key order after `after` and up to `upto`.
pub(crate) async fn load_listed_profiles(
    connection: &impl ConnectionTrait,
    run: &sync_run::Model,
    profile_type_id: Option<i32>,
    after: i64,
    upto: i64,
    limit: u64,
) -> Result<(Vec<Listed>, Option<i64>), DbErr> {
    use profile::Column;
    let rows: Vec<ProfileRow> =
        in_order::<profile::Entity>([Column::SourceId, Column::Id], run.source_id, after, upto, limit)
            .columns([
                Column::Id,
                Column::ExternalId,
                Column::Position,
                Column::StatusPosition,
                Column::Status,
                Column::IsKnown,
                Column::ProfileTypeId,
                Column::RowHash,
            ])
            .into_tuple()
            .all(connection)
            .await?;
    let last = rows.last().map(|row| row.0);
    let listed = |(id, external_id, position, status_position, status, is_known, type_id, hash): ProfileRow| Listed {
        id,
        position,
        told_at: Ord::max(position, status_position),
        profile_id: id,
        is_missable: is_known
            && !matches!(status, Status::Deleted | Status::Anonymized)
            && (profile_type_id.is_none() || type_id == profile_type_id),
        digest: mix_record(&external_id, hash, &status.to_value()),
        external_id,
    };
    Ok((rows.into_iter().map(listed).collect(), last))
}

type SubprofileRow = (i64, String, i64, Option<Moment>, Option<i32>, i64, i64);

/// Subprofiles of a source in key order after `after` and up to `upto`.
pub(crate) async fn load_listed_subprofiles(
    connection: &impl ConnectionTrait,
    run: &sync_run::Model,
    collections: Option<&[i32]>,
    after: i64,
    upto: i64,
    limit: u64,
) -> Result<(Vec<Listed>, Option<i64>), DbErr> {
    use subprofile::Column;
    let rows: Vec<SubprofileRow> =
        in_order::<subprofile::Entity>([Column::SourceId, Column::Id], run.source_id, after, upto, limit)
            .columns([
                Column::Id,
                Column::ExternalId,
                Column::Position,
                Column::DeletedAt,
                Column::CollectionId,
                Column::ProfileId,
                Column::RowHash,
            ])
            .into_tuple()
            .all(connection)
            .await?;
    let last = rows.last().map(|row| row.0);
    let listed = |(id, external_id, position, deleted_at, collection_id, profile_id, hash): SubprofileRow| Listed {
        id,
        position,
        told_at: position,
        profile_id,
        is_missable: deleted_at.is_none()
            && collections.is_none_or(|ids| collection_id.is_some_and(|id| ids.contains(&id))),
        digest: mix_record(&external_id, hash, subprofile_word(deleted_at.is_some())),
        external_id,
    };
    Ok((rows.into_iter().map(listed).collect(), last))
}

/// Live profiles of a source, of one type where it is given.
pub(crate) async fn count_live_profiles(
    connection: &impl ConnectionTrait,
    source_id: i32,
    profile_type_id: Option<i32>,
) -> Result<u64, DbErr> {
    use profile::Column;
    let mut live = profile::known()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::Status.is_not_in([Status::Deleted, Status::Anonymized]));
    if let Some(id) = profile_type_id {
        live = live.filter(Column::ProfileTypeId.eq(id));
    }
    live.count(connection).await
}

/// Live subprofiles of a source, of some collections where they are given.
pub(crate) async fn count_live_subprofiles(
    connection: &impl ConnectionTrait,
    source_id: i32,
    collections: Option<&[i32]>,
) -> Result<u64, DbErr> {
    let mut live = subprofile::alive().filter(subprofile::Column::SourceId.eq(source_id));
    if let Some(ids) = collections {
        live = live.filter(subprofile::Column::CollectionId.is_in(ids.iter().copied()));
    }
    live.count(connection).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::read::fixture::Fixture;
    use sea_orm::{DbBackend, QueryTrait, Statement};

    #[tokio::test]
    async fn a_step_reads_the_rows_it_looks_at_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("x.db").display());
        let db = crate::db::connect(&url, None).await.unwrap();
        db.migrate().await.unwrap();
        let columns = [profile::Column::SourceId, profile::Column::Id];
        let profiles = in_order::<profile::Entity>(columns, 1, 5, 100, 10).column(profile::Column::RowHash);
        let columns = [subprofile::Column::SourceId, subprofile::Column::Id];
        let subprofiles = in_order::<subprofile::Entity>(columns, 1, 5, 100, 10).column(subprofile::Column::RowHash);
        let statements = [profiles.build(DbBackend::Sqlite), subprofiles.build(DbBackend::Sqlite)];
        for (index, statement) in ["profile_of_source", "subprofile_of_source"].into_iter().zip(statements) {
            let sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
            let explained = Statement { sql, ..statement };
            let plan = db.writer().query_all_raw(explained).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
            assert!(steps.len() == 1 && steps[0].contains(&format!("USING INDEX {index} (")), "{steps:?}");
        }
    }

    #[tokio::test]
    async fn subprofiles_are_counted_by_the_collections_they_are_in() {
        let fixture = Fixture::new().await;
        let source_id = fixture.source("crm").await;
        let profile_type_id = fixture.profile_type(source_id, "1", "People").await;
        let profile_id = fixture.profile(source_id, "p", |_| {}).await;
        let mut collections = Vec::new();
        for (name, count) in [("Orders", 3), ("Visits", 2)] {
            let collection_id = fixture.collection(source_id, profile_type_id, name).await;
            for number in 0..count {
                fixture.subprofile(source_id, &format!("{name} {number}"), profile_id, collection_id).await;
            }
            collections.push(collection_id);
        }
        let db = fixture.db.primary();
        assert_eq!(count_live_subprofiles(db, source_id, None).await.unwrap(), 5);
        assert_eq!(count_live_subprofiles(db, source_id, Some(&collections[1..])).await.unwrap(), 2);
        assert_eq!(count_live_subprofiles(db, source_id, Some(&[])).await.unwrap(), 0);
    }
}
