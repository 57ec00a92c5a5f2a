//! A database that refuses to settle some deliveries as applied, through no fault of theirs.

use profile_mirror::db::{Database, Dialect};
use sea_orm::ConnectionTrait;

/// Stands until it is ended.
#[must_use]
pub struct Refusal;

impl Refusal {
    /// Refuses the deliveries of which a condition on `NEW` holds.
    pub async fn of(db: &Database, condition: &str) -> Self {
        let statements = match db.dialect() {
            Dialect::Sqlite => vec![format!(
                "CREATE TRIGGER refused BEFORE UPDATE ON delivery WHEN {condition} AND NEW.state = 'applied' \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )],
            Dialect::Postgres => vec![
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER refused BEFORE UPDATE ON delivery FOR EACH ROW \
                     WHEN ({condition} AND NEW.state = 'applied') EXECUTE FUNCTION refuse()"
                ),
            ],
        };
        for statement in statements {
            db.writer().execute_unprepared(&statement).await.unwrap();
        }
        Self
    }

    /// Refuses nothing any more.
    pub async fn end(self, db: &Database) {
        let statement = match db.dialect() {
            Dialect::Sqlite => "DROP TRIGGER refused",
            Dialect::Postgres => "DROP TRIGGER refused ON delivery",
        };
        db.writer().execute_unprepared(statement).await.unwrap();
    }
}
