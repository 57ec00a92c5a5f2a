//! A database that refuses to write some rows, through no fault of theirs.

use profile_mirror::db::{Database, Dialect};
use sea_orm::ConnectionTrait;

/// Stands until it is ended.
#[must_use]
pub struct Refusal {
    table: &'static str,
}

impl Refusal {
    /// Refuses to settle as applied the deliveries of which a condition on `NEW` holds.
    pub async fn of(db: &Database, condition: &str) -> Self {
        Self::on(db, "delivery", &format!("{condition} AND NEW.state = 'applied'")).await
    }

    /// Refuses the rows of a table of which a condition on `NEW` holds.
    pub async fn on(db: &Database, table: &'static str, condition: &str) -> Self {
        let statements = match db.dialect() {
            Dialect::Sqlite => vec![format!(
                "CREATE TRIGGER refused BEFORE UPDATE ON {table} WHEN {condition} \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )],
            Dialect::Postgres => vec![
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER refused BEFORE UPDATE ON {table} FOR EACH ROW \
                     WHEN ({condition}) EXECUTE FUNCTION refuse()"
                ),
            ],
        };
        for statement in statements {
            db.writer().execute_unprepared(&statement).await.unwrap();
        }
        Self { table }
    }

    /// Refuses nothing any more.
    pub async fn end(self, db: &Database) {
        let statement = match db.dialect() {
            Dialect::Sqlite => "DROP TRIGGER refused".to_owned(),
            Dialect::Postgres => format!("DROP TRIGGER refused ON {}", self.table),
        };
        db.writer().execute_unprepared(&statement).await.unwrap();
    }
}
