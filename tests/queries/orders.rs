//! Orders page the same rows both ways, also while rows move under the pager.

use super::mirror::{Mirror, NEW_YEAR};
use crate::support::both;
use entity::profile;
use profile_mirror::db::fields::FieldAs;
use profile_mirror::mirror::read::{Limit, Order, Page, Place, SortKey};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn by(key: SortKey, is_descending: bool) -> Order {
    Order { key, is_descending }
}

fn field(name: &str, reading: FieldAs) -> SortKey {
    SortKey::Field(name.to_owned(), reading)
}

async fn read(mirror: &Mirror, order: &[Order], page: Page) -> Vec<profile::Model> {
    mirror.reader.profiles(None, order, &page).await.unwrap().rows
}

/// Pages through everything; `between` is called after each page with the number of pages.
async fn walk(mirror: &Mirror, order: &[Order], is_forward: bool, between: impl AsyncFn(usize)) -> Vec<String> {
    let (mut seen, mut place) = (Vec::new(), None);
    for pages in 1.. {
        let page = if is_forward {
            Page { limit: Limit::First(4), after: place.clone(), before: None }
        } else {
            Page { limit: Limit::Last(4), after: None, before: place.clone() }
        };
        let rows = read(mirror, order, page).await;
        let edge = if is_forward { rows.last() } else { rows.first() };
        let Some(edge) = edge else { break };
        place = Some(Place::of(edge, order));
        let names = rows.iter().map(|row| row.external_id.clone());
        if is_forward {
            seen.extend(names);
        } else {
            seen.splice(0..0, names);
        }
        between(pages).await;
    }
    seen
}

/// Values that repeat, are absent here and there, or are of another kind.
async fn uneven(mirror: &Mirror) -> Vec<profile::Model> {
    let values =
        [json!("12.50"), json!(12.5), json!("b"), json!("B"), json!(""), json!("9"), json!("2026-01-01"), Value::Null];
    let mut rows = Vec::new();
    for number in 0..31_usize {
        let mut row = mirror.row(&format!("p{number:02}"), json!({ "x": values[number % 8], "it's": number % 3 }));
        row.display_name = (number % 4 != 0).then(|| format!("{}ame", if number % 3 == 0 { "é" } else { "N" }));
        row.created_at = (number % 2 == 0).then(|| NEW_YEAR.plus_ms(i64::try_from(number % 6).unwrap()));
        rows.push(mirror.put(row).await);
    }
    rows
}

fn orders() -> Vec<Vec<Order>> {
    let keys = [
        SortKey::DisplayName,
        SortKey::CreatedAt,
        SortKey::ExternalId,
        field("x", FieldAs::Text),
        field("x", FieldAs::Number),
        field("x", FieldAs::Date),
        field("it's", FieldAs::Number),
    ];
    let mut orders = vec![vec![]];
    for key in keys {
        for is_descending in [false, true] {
            orders.push(vec![by(key.clone(), is_descending)]);
            orders.push(vec![by(field("x", FieldAs::Text), !is_descending), by(key.clone(), is_descending)]);
        }
    }
    orders
}

both!(every_order_pages_the_same_rows_both_ways, |database| {
    let mirror = Mirror::new(&database).await;
    uneven(&mirror).await;
    for order in orders() {
        let all = read(&mirror, &order, Page { limit: Limit::First(100), after: None, before: None }).await;
        let all: Vec<_> = all.into_iter().map(|row| row.external_id).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 31, "{order:?}");
        let quiet = async |_| {};
        assert_eq!(walk(&mirror, &order, true, quiet).await, all, "forward by {order:?}");
        assert_eq!(walk(&mirror, &order, false, quiet).await, all, "backward by {order:?}");
    }
});

both!(texts_sort_by_their_characters_and_numbers_by_their_value, |database| {
    let mirror = Mirror::new(&database).await;
    for value in ["b", "a", "B", "é", "10", "9"] {
        let mut row = mirror.row(value, json!({ "x": value }));
        row.display_name = Some(value.to_owned());
        mirror.put(row).await;
    }
    mirror.put(mirror.row("absent", json!({}))).await;
    let all = async |key, is_descending| {
        let page = Page { limit: Limit::First(100), after: None, before: None };
        let rows = read(&mirror, &[by(key, is_descending)], page).await;
        rows.into_iter().map(|row| row.external_id).collect::<Vec<_>>()
    };
    assert_eq!(all(SortKey::DisplayName, false).await, ["10", "9", "B", "a", "b", "é", "absent"]);
    assert_eq!(all(field("x", FieldAs::Text), false).await, ["10", "9", "a", "b", "B", "é", "absent"]);
    assert_eq!(all(field("x", FieldAs::Text), true).await, ["é", "B", "b", "a", "9", "10", "absent"]);
    let numbers = all(field("x", FieldAs::Number), true).await;
    assert_eq!(numbers[..2], ["10", "9"]);
});

// A row that gets another value moves; it may be seen twice or not at all. No other row may.
both!(a_row_that_moves_under_the_pager_costs_no_other_row, |database| {
    let mirror = Mirror::new(&database).await;
    let rows = uneven(&mirror).await;
    let moving: Vec<_> = rows.iter().step_by(5).map(|row| (row.id, row.external_id.clone())).collect();
    for order in orders() {
        for is_forward in [true, false] {
            let values = [json!("0"), json!("zz"), Value::Null, json!("2027-01-01"), json!(5)];
            let shuffle = async |pages: usize| {
                for (place, (id, _)) in moving.iter().enumerate() {
                    let row = profile::Entity::find_by_id(*id).one(mirror.db.primary()).await.unwrap().unwrap();
                    let value = &values[(pages + place) % values.len()];
                    let mut row = row.into_active_model();
                    row.fields = Set(json!({ "x": value, "it's": value }));
                    row.display_name = Set(value.as_str().map(str::to_owned));
                    row.created_at = Set(value.is_string().then(|| NEW_YEAR.plus_ms(pages as i64)));
                    row.update(mirror.db.writer()).await.unwrap();
                }
            };
            let seen = walk(&mirror, &order, is_forward, shuffle).await;
            for row in rows.iter().filter(|row| !moving.iter().any(|(id, _)| *id == row.id)) {
                let times = seen.iter().filter(|name| **name == row.external_id).count();
                assert_eq!(times, 1, "{} by {order:?}, forward {is_forward}", row.external_id);
            }
        }
    }
});
