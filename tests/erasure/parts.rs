//! What is erased in a batch of several transactions.

use super::*;
use crate::support::both;
use crate::support::refusal::Refusal;
use entity::{DeliveryKind, DeliveryState, Moment, delivery, delivery_names, source_state, verdict};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder};

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
        .filter(delivery::Column::State.eq(DeliveryState::Pending))
        .order_by_asc(delivery::Column::Id)
        .all(app.database().primary())
        .await
        .unwrap();
    let last = pending.last().expect("deliveries").id;
    assert!(pending.len() >= people.len(), "{}", pending.len());
    let refusal = Refusal::of(app.database(), &format!("NEW.id = {last}")).await;

    take_lease_away(&app, source_id, Moment(0)).await;
    let row = async |id: i64| delivery::Entity::find_by_id(id).one(app.database().primary()).await.unwrap().unwrap();
    until("the last one has failed alone", async || row(last).await.attempts > 0).await;

    for delivery in &pending[..4] {
        let verdicts = verdict::Entity::find().filter(verdict::Column::DeliveryId.eq(delivery.id));
        assert_eq!(verdicts.count(app.database().primary()).await.unwrap(), 1, "{}", delivery.id);
    }
    refusal.end(app.database()).await;
    app.finish().await;
});

both!(a_page_that_changed_nothing_and_is_not_settled_yet_is_emptied_too, |database| {
    let app = TestApp::builder(&database).profiles(1_200).start().await;
    let (person, _) = two_profiles(&app);
    plant(&app, &person, "one");
    app.import_all().await;
    let source_id = app.source_id("crm").await;
    let pages = delivery::Entity::find()
        .filter(delivery::Column::SourceId.eq(source_id))
        .filter(delivery::Column::Kind.eq(DeliveryKind::Page))
        .order_by_asc(delivery::Column::Id);
    let before = pages.clone().count(app.database().primary()).await.unwrap();
    app.import("crm").await;
    // A later answer shows the same, so that the profile's own row does not lead to the page.
    assert_eq!(app.post(&signed(&app, Parallel, parallel_event("PROFILE_UPDATED", &person, json!({})))).await, 200);
    app.drain().await;
    take_lease_away(&app, source_id, Moment(i64::MAX)).await;

    // The page that shows the person, and the next one, are as they were before they had been settled. Together they are too
    // much for one part.
    let pages = pages.all(app.database().primary()).await.unwrap().split_off(usize::try_from(before).unwrap());
    let shows = |page: &delivery::Model| String::from_utf8_lossy(&page.body).contains(&person);
    let place = pages.iter().position(shows).expect("a page that shows the person");
    let pages: Vec<i64> = pages[place..place + 2].iter().map(|page| page.id).collect();
    let pending = delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::value("pending"))
        .col_expr(delivery::Column::SettledAt, Expr::value(Option::<i64>::None))
        .filter(delivery::Column::Id.is_in(pages.clone()));
    pending.exec(app.database().writer()).await.unwrap();
    let names = delivery_names::Entity::delete_many().filter(delivery_names::Column::DeliveryId.is_in(pages));
    names.exec(app.database().writer()).await.unwrap();
    app.simulator.advance(chrono::Duration::seconds(5));
    app.simulator.parallel().anonymize(&person).unwrap();
    app.send().await;
    take_lease_away(&app, source_id, Moment(0)).await;

    has_status(&app, &person, "ANONYMIZED").await;
    app.drain().await;
    cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;
    app.finish().await;
});

both!(who_is_named_only_by_a_relationship_that_cannot_be_read_is_taken_out_of_it, |database| {
    let app = TestApp::imported(&database).await;
    let (person, company) = two_profiles(&app);
    app.simulator.parallel().set_field(&company, "p_share_capital", Some(json!(7))).unwrap();
    app.settle().await;
    // Upstream has answered with a relationship of no type.
    let fetches = delivery::Entity::find()
        .filter(delivery::Column::SourceId.eq(app.source_id("crm").await))
        .filter(delivery::Column::Kind.eq(DeliveryKind::Fetch))
        .all(app.database().primary());
    let is_of_company = |kept: &delivery::Model| String::from_utf8_lossy(&kept.body).contains(&company);
    let answer = fetches.await.unwrap().into_iter().find(is_of_company).expect("the company was asked for");
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["relationships"] = json!([{ "id": "odd", "profile": { "id": person, "name": format!("{CANARY}odd") } }]);
    let pending = delivery::Entity::update_many()
        .col_expr(delivery::Column::Body, Expr::value(body.to_string().into_bytes()))
        .col_expr(delivery::Column::State, Expr::value("pending"))
        .col_expr(delivery::Column::SettledAt, Expr::value(Option::<i64>::None))
        .filter(delivery::Column::Id.eq(answer.id));
    pending.exec(app.database().writer()).await.unwrap();
    let names = delivery_names::Entity::delete_many().filter(delivery_names::Column::DeliveryId.eq(answer.id));
    names.exec(app.database().writer()).await.unwrap();
    app.drain().await;

    app.simulator.parallel().anonymize(&person).unwrap();
    app.settle().await;
    cleaned(&app, &person).await;
    app.assert_no_canary(&database).await;
    app.finish_apart_from_world().await;
});
