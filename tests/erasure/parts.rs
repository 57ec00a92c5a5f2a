//! Many erasures at once are several transactions.

use super::*;
use crate::support::both;
use entity::{Moment, delivery, source_state, verdict};
use profile_mirror::db::Dialect;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder};

/// Gives the source to an instance that is not there until it is given back: what arrives stays pending.
async fn take_lease_away(app: &TestApp, source_id: i32, until: Moment) {
    use source_state::Column;
    source_state::Entity::update_many()
        .col_expr(Column::LeaseHolder, Expr::value("nobody"))
        .col_expr(Column::LeaseEpoch, Expr::col(Column::LeaseEpoch).add(1))
        .col_expr(Column::LeaseUntil, Expr::value(until))
        .filter(Column::SourceId.eq(source_id))
        .exec(app.database().writer())
        .await
        .unwrap();
}

/// Makes the database refuse to settle a delivery as applied, through no fault of its own.
fn refusal(dialect: Dialect, position: i64) -> Vec<String> {
    match dialect {
        Dialect::Sqlite => vec![format!(
            "CREATE TRIGGER refused BEFORE UPDATE ON delivery WHEN NEW.id = {position} AND NEW.state = 'applied' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )],
        Dialect::Postgres => vec![
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
                .to_owned(),
            format!(
                "CREATE TRIGGER refused BEFORE UPDATE ON delivery FOR EACH ROW \
                 WHEN (NEW.id = {position} AND NEW.state = 'applied') EXECUTE FUNCTION refuse()"
            ),
        ],
    }
}

both!(what_is_committed_is_not_applied_again_when_a_later_part_fails, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let people: Vec<String> = (0..10).map(|_| parallel.create_random_profile("Individual").unwrap()).collect();
    app.settle().await;
    app.simulator.advance(chrono::Duration::seconds(5));
    let source_id = app.source_id("crm").await;
    take_lease_away(&app, source_id, Moment(i64::MAX)).await;
    for person in &people {
        parallel.anonymize(person).unwrap();
    }
    app.send().await;
    let pending = delivery::Entity::find()
        .filter(delivery::Column::SourceId.eq(source_id))
        .filter(delivery::Column::State.eq(entity::DeliveryState::Pending))
        .order_by_asc(delivery::Column::Id)
        .all(app.database().primary())
        .await
        .unwrap();
    let last = pending.last().expect("deliveries").id;
    assert!(pending.len() >= people.len(), "{}", pending.len());
    for statement in refusal(database.dialect, last) {
        app.database().writer().execute_unprepared(&statement).await.unwrap();
    }

    take_lease_away(&app, source_id, Moment(0)).await;
    let row = async |id: i64| delivery::Entity::find_by_id(id).one(app.database().primary()).await.unwrap().unwrap();
    until("the last one has failed alone", async || row(last).await.attempts > 0).await;

    for delivery in &pending[..4] {
        let verdicts = verdict::Entity::find().filter(verdict::Column::DeliveryId.eq(delivery.id));
        assert_eq!(verdicts.count(app.database().primary()).await.unwrap(), 1, "{}", delivery.id);
    }
    let drop = match database.dialect {
        Dialect::Sqlite => "DROP TRIGGER refused",
        Dialect::Postgres => "DROP TRIGGER refused ON delivery",
    };
    app.database().writer().execute_unprepared(drop).await.unwrap();
    app.finish().await;
});
