//! The floor: prepared statements whose rows are written straight to JSON, without a GraphQL executor.

use super::people::{FIELDS, ORDER_FIELDS, SOURCE};
use anyhow::Context;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::sqlx::sqlite::SqliteRow;
use sea_orm::sqlx::{AssertSqlSafe, Row, Sqlite, SqlitePool, query};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;

const COLUMNS: &str = "SELECT id, external_id, display_name, email, upper(status), fields FROM profile WHERE is_known";
const PAGE_ROWS: usize = 50;

/// The floor behind the path of GraphQL.
pub async fn router(pool: SqlitePool) -> anyhow::Result<Router> {
    Ok(Router::new().route("/graphql", post(answer)).with_state(pool))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    operation_name: String,
    variables: Variables,
}

#[derive(Deserialize)]
struct Variables {
    by: Option<By>,
    email: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct By {
    key: Key,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    external_id: String,
}

async fn answer(State(pool): State<SqlitePool>, Json(question): Json<Question>) -> Response {
    match read(&pool, question).await {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], Bytes::from(json)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

async fn read(pool: &SqlitePool, question: Question) -> anyhow::Result<Vec<u8>> {
    let Question { operation_name, variables } = question;
    let mut out = Vec::with_capacity(1024);
    match operation_name.as_str() {
        "Single" => {
            let sql = format!("{COLUMNS} AND source_id = 1 AND external_id = ?");
            let key = variables.by.context("a key")?.key.external_id;
            let row = query::<Sqlite>(AssertSqlSafe(sql)).bind(key).fetch_one(pool).await?;
            out.extend_from_slice(br#"{"data":{"profile":{"#);
            write_profile(&mut out, &row)?;
            out.push(b',');
            write_fields(&mut out, row.try_get(5)?, &FIELDS)?;
            out.extend_from_slice(b"}}}");
        }
        "Search" => {
            let sql = format!("{COLUMNS} AND status <> 'deleted' AND email = ? ORDER BY id LIMIT 10");
            let rows = query::<Sqlite>(AssertSqlSafe(sql)).bind(variables.email).fetch_all(pool).await?;
            out.extend_from_slice(br#"{"data":{"profiles":{"nodes":["#);
            write_list(&mut out, &rows, |out, row| {
                out.push(b'{');
                write_profile(out, row)?;
                out.push(b'}');
                Ok(())
            })?;
            out.extend_from_slice(b"]}}}");
        }
        _ => {
            let after: i64 = variables.after.as_deref().unwrap_or("0").parse()?;
            let sql = format!("{COLUMNS} AND status <> 'deleted' AND id > ? ORDER BY id LIMIT {PAGE_ROWS}");
            let rows = query::<Sqlite>(AssertSqlSafe(sql)).bind(after).fetch_all(pool).await?;
            if operation_name == "Walk" {
                let end: i64 = rows.last().context("a page")?.try_get(0)?;
                write!(out, r#"{{"data":{{"profiles":{{"pageInfo":{{"endCursor":"{end}"}}}}}}}}"#)?;
                return Ok(out);
            }
            out.reserve(64 * 1024);
            write_page(&mut out, pool, &rows).await?;
        }
    }
    Ok(out)
}

async fn write_page(out: &mut Vec<u8>, pool: &SqlitePool, rows: &[SqliteRow]) -> anyhow::Result<()> {
    let places = vec!["?"; rows.len()].join(",");
    let sql = format!(
        "SELECT profile_id, external_id, fields FROM subprofile WHERE profile_id IN ({places}) AND deleted_at IS NULL \
         ORDER BY profile_id, id"
    );
    let mut children = query::<Sqlite>(AssertSqlSafe(sql));
    for row in rows {
        children = children.bind(row.try_get::<i64, _>(0)?);
    }
    let children = children.fetch_all(pool).await?;
    let mut of: HashMap<i64, Vec<&SqliteRow>> = HashMap::new();
    for child in &children {
        of.entry(child.try_get(0)?).or_default().push(child);
    }
    out.extend_from_slice(br#"{"data":{"profiles":{"nodes":["#);
    write_list(out, rows, |out, row| {
        out.push(b'{');
        write_profile(out, row)?;
        out.push(b',');
        write_fields(out, row.try_get(5)?, &FIELDS)?;
        out.extend_from_slice(br#","subprofiles":{"nodes":["#);
        let children = of.get(&row.try_get::<i64, _>(0)?).map(Vec::as_slice).unwrap_or_default();
        write_list(out, children, |out, child| {
            out.extend_from_slice(br#"{"externalId":"#);
            serde_json::to_writer(&mut *out, child.try_get::<&str, _>(1)?)?;
            out.push(b',');
            write_fields(out, child.try_get(2)?, &ORDER_FIELDS)?;
            out.push(b'}');
            Ok(())
        })?;
        out.extend_from_slice(b"]}}");
        Ok(())
    })?;
    out.extend_from_slice(b"]}}}");
    Ok(())
}

fn write_list<T>(
    out: &mut Vec<u8>,
    rows: &[T],
    mut write: impl FnMut(&mut Vec<u8>, &T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, row)?;
    }
    Ok(())
}

fn write_profile(out: &mut Vec<u8>, row: &SqliteRow) -> anyhow::Result<()> {
    let external_id: &str = row.try_get(1)?;
    let id = URL_SAFE_NO_PAD.encode(format!("profile:{SOURCE}:{external_id}"));
    write!(out, r#""id":"{id}","externalId":"#)?;
    serde_json::to_writer(&mut *out, external_id)?;
    for (name, place) in [("displayName", 2), ("email", 3), ("status", 4)] {
        write!(out, r#","{name}":"#)?;
        serde_json::to_writer(&mut *out, &row.try_get::<Option<&str>, _>(place)?)?;
    }
    Ok(())
}

/// Values go out as they are stored, but numbers, which are stored as text.
fn write_fields(out: &mut Vec<u8>, raw: &str, definitions: &[(&str, &str)]) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Fields<'a>(#[serde(borrow)] HashMap<Cow<'a, str>, &'a RawValue>);
    let Fields(values) = serde_json::from_str(raw)?;
    let held = definitions.iter().filter_map(|(name, kind)| Some((*name, *kind, values.get(*name)?.get())));
    let held: Vec<_> = held.collect();
    out.extend_from_slice(br#""fields":["#);
    write_list(out, &held, |out, (name, kind, value)| {
        let number =
            matches!(*kind, "integer" | "float").then(|| value.trim_matches('"').parse::<f64>().ok()).flatten();
        write!(out, r#"{{"name":"{name}","value":"#)?;
        match number {
            Some(number) if *kind == "integer" => write!(out, "{number:.0}")?,
            Some(number) => serde_json::to_writer(&mut *out, &number)?,
            None => out.extend_from_slice(value.as_bytes()),
        }
        out.push(b'}');
        Ok(())
    })?;
    out.push(b']');
    Ok(())
}
