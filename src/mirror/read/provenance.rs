//! Where the values of fields come from: the newest change of each that the log still holds.

use super::reader::{Reading, padded};
use super::{ReadError, Reader};
use crate::db::dialect;
use ::entity::{Moment, RecordKind, VersionRung};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult, Statement};

/// The newest change of one field.
#[derive(Clone, Debug)]
pub struct ProvenanceRow {
    /// The profile that it concerns.
    pub profile_id: i64,
    /// Whether the field is of the profile itself or of a subprofile.
    pub record_kind: RecordKind,
    /// External id of that record.
    pub record_id: String,
    /// Name of the field.
    pub name: String,
    /// Source of the change.
    pub source_id: i32,
    /// Its revision.
    pub revision: i64,
    /// When it was committed.
    pub at: Moment,
    /// The delivery that caused it.
    pub delivery_id: i64,
    /// What told how new the value was; none where no verdict says so.
    pub rung: Option<VersionRung>,
}

impl FromQueryResult for ProvenanceRow {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let version: Option<String> = row.try_get(prefix, "observed_version")?;
        Ok(Self {
            profile_id: row.try_get(prefix, "profile_id")?,
            record_kind: row.try_get(prefix, "record_kind")?,
            record_id: row.try_get(prefix, "record_id")?,
            name: row.try_get(prefix, "name")?,
            source_id: row.try_get(prefix, "source_id")?,
            revision: row.try_get(prefix, "revision")?,
            at: row.try_get(prefix, "at")?,
            delivery_id: row.try_get(prefix, "delivery_id")?,
            rung: version.as_deref().and_then(rung_of),
        })
    }
}

/// The rung in a version as verdicts write it for people, which begins with it.
fn rung_of(version: &str) -> Option<VersionRung> {
    match version.split(' ').next()? {
        "RequestStarted" => Some(VersionRung::RequestStarted),
        "EventTime" => Some(VersionRung::EventTime),
        "UpstreamModified" => Some(VersionRung::UpstreamModified),
        "NativeSequence" => Some(VersionRung::NativeSequence),
        _ => None,
    }
}

impl Reader {
    /// The newest change of each field of these profiles and of their subprofiles.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn provenance(&self, profile_ids: &[i64]) -> Result<Vec<ProvenanceRow>, ReadError> {
        let connection = self.connection();
        let ids = padded(profile_ids);
        let mut places = String::new();
        for number in 1..=ids.len() {
            places.push_str(if number == 1 { "" } else { ", " });
            dialect::push_placeholder(&mut places, connection.get_database_backend(), number, false);
        }
        let (elements, name, is_field) = dialect::changed_fields(self.dialect());
        let sql = format!(
            "SELECT newest.*, (SELECT observed_version FROM verdict WHERE verdict.delivery_id = newest.delivery_id \
             AND verdict.record_kind = newest.record_kind AND verdict.record_id = newest.record_id \
             AND verdict.decision = 'applied' ORDER BY verdict.id DESC LIMIT 1) AS observed_version FROM (\
             SELECT profile_id, record_kind, record_id, {name} AS name, source_id, revision, \"at\", delivery_id, \
             ROW_NUMBER() OVER (PARTITION BY profile_id, record_kind, record_id, {name} ORDER BY revision DESC) AS place \
             FROM change {elements} WHERE profile_id IN ({places}) \
             AND record_kind IN ('profile', 'subprofile') AND {is_field}) AS newest WHERE place = 1"
        );
        let values = ids.into_iter().map(sea_orm::Value::from);
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        ProvenanceRow::find_by_statement(statement).all(connection).await.reading("where values come from")
    }
}
