//! The static schema: async-graphql as one would write it for these documents alone, over plain statements.

use super::people::{FIELDS, ORDER_FIELDS, SOURCE};
use async_graphql::{
    ComplexObject, Context, EmptyMutation, EmptySubscription, Enum, ID, InputObject, Json, Object, OneofObject, Result,
    Schema, SimpleObject,
};
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::sqlx::{AssertSqlSafe, Sqlite, SqlitePool, query_as};
use serde_json::{Map, Value};
use std::collections::HashMap;

type Static = Schema<Query, EmptyMutation, EmptySubscription>;

/// The schema behind its path.
pub async fn router(pool: SqlitePool) -> anyhow::Result<Router> {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription).data(pool).finish();
    Ok(Router::new().route("/graphql", post(answer)).with_state(schema))
}

async fn answer(State(schema): State<Static>, request: GraphQLRequest) -> GraphQLResponse {
    schema.execute(request.into_inner()).await.into()
}

struct Query;

#[derive(OneofObject)]
enum ProfileRef {
    Key(ProfileKey),
}

#[derive(InputObject)]
struct ProfileKey {
    source: String,
    external_id: String,
}

#[derive(InputObject)]
struct ProfileFilter {
    email: Option<StringFilter>,
}

#[derive(InputObject)]
struct StringFilter {
    eq: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum Status {
    Open,
    Closed,
}

#[derive(SimpleObject)]
struct Field {
    name: &'static str,
    value: Option<Json<Value>>,
}

#[derive(SimpleObject)]
#[graphql(complex)]
struct Profile {
    id: ID,
    external_id: String,
    display_name: Option<String>,
    email: Option<String>,
    status: Status,
    fields: Vec<Field>,
    #[graphql(skip)]
    orders: Vec<Subprofile>,
}

#[ComplexObject]
impl Profile {
    async fn subprofiles(&self, first: usize) -> SubprofileConnection<'_> {
        SubprofileConnection { nodes: self.orders.iter().take(first).collect() }
    }
}

#[derive(SimpleObject)]
struct SubprofileConnection<'a> {
    nodes: Vec<&'a Subprofile>,
}

#[derive(SimpleObject)]
struct Subprofile {
    external_id: String,
    fields: Vec<Field>,
}

#[derive(SimpleObject)]
struct ProfileConnection {
    nodes: Vec<Profile>,
    page_info: PageInfo,
}

#[derive(SimpleObject)]
struct PageInfo {
    end_cursor: Option<String>,
}

/// Key, upstream id, name, e-mail address, status and fields of a profile.
type ProfileRow = (i64, String, Option<String>, Option<String>, String, String);

/// Profile, upstream id and fields of a subprofile.
type SubprofileRow = (i64, String, String);

const COLUMNS: &str = "SELECT id, external_id, display_name, email, status, fields FROM profile WHERE is_known";

#[Object]
impl Query {
    async fn profile(&self, ctx: &Context<'_>, by: ProfileRef) -> Result<Option<Profile>> {
        let ProfileRef::Key(ProfileKey { source, external_id }) = by;
        let sql = format!("{COLUMNS} AND source_id = (SELECT id FROM source WHERE name = ?) AND external_id = ?");
        let query = query_as::<Sqlite, ProfileRow>(AssertSqlSafe(sql)).bind(source).bind(external_id);
        let row = query.fetch_optional(ctx.data_unchecked::<SqlitePool>()).await?;
        row.map(|row| Profile::read(row, Vec::new())).transpose()
    }

    async fn profiles(
        &self,
        ctx: &Context<'_>,
        filter: Option<ProfileFilter>,
        first: i32,
        after: Option<String>,
    ) -> Result<ProfileConnection> {
        let pool = ctx.data_unchecked::<SqlitePool>();
        let after: i64 = after.as_deref().unwrap_or("0").parse()?;
        let email = filter.and_then(|filter| filter.email).and_then(|email| email.eq);
        let test = if email.is_some() { "AND email = ?" } else { "" };
        let sql = format!("{COLUMNS} AND status <> 'deleted' {test} AND id > ? ORDER BY id LIMIT ?");
        let mut query = query_as::<Sqlite, ProfileRow>(AssertSqlSafe(sql));
        if let Some(email) = email {
            query = query.bind(email);
        }
        let rows = query.bind(after).bind(first).fetch_all(pool).await?;
        let end_cursor = rows.last().map(|row| row.0.to_string());
        let mut orders = HashMap::new();
        if ctx.look_ahead().field("nodes").field("subprofiles").exists() {
            orders = read_orders(pool, &rows).await?;
        }
        let nodes = rows.into_iter().map(|row| {
            let orders = orders.remove(&row.0).unwrap_or_default();
            Profile::read(row, orders)
        });
        Ok(ProfileConnection { nodes: nodes.collect::<Result<_>>()?, page_info: PageInfo { end_cursor } })
    }
}

async fn read_orders(pool: &SqlitePool, profiles: &[ProfileRow]) -> Result<HashMap<i64, Vec<Subprofile>>> {
    let places = vec!["?"; profiles.len()].join(",");
    let sql = format!(
        "SELECT profile_id, external_id, fields FROM subprofile WHERE profile_id IN ({places}) AND deleted_at IS NULL \
         ORDER BY profile_id, id"
    );
    let mut query = query_as::<Sqlite, SubprofileRow>(AssertSqlSafe(sql));
    for profile in profiles {
        query = query.bind(profile.0);
    }
    let mut orders: HashMap<i64, Vec<Subprofile>> = HashMap::new();
    for (profile_id, external_id, fields) in query.fetch_all(pool).await? {
        let order = Subprofile { external_id, fields: read_fields(&fields, &ORDER_FIELDS)? };
        orders.entry(profile_id).or_default().push(order);
    }
    Ok(orders)
}

impl Profile {
    fn read(row: ProfileRow, orders: Vec<Subprofile>) -> Result<Self> {
        let (_, external_id, display_name, email, status, fields) = row;
        Ok(Self {
            id: ID(URL_SAFE_NO_PAD.encode(format!("profile:{SOURCE}:{external_id}"))),
            external_id,
            display_name,
            email,
            status: if status == "open" { Status::Open } else { Status::Closed },
            fields: read_fields(&fields, &FIELDS)?,
            orders,
        })
    }
}

fn read_fields(raw: &str, definitions: &[(&'static str, &str)]) -> Result<Vec<Field>> {
    let mut values: Map<String, Value> = serde_json::from_str(raw)?;
    let read = definitions.iter().filter_map(|(name, kind)| {
        let raw = values.remove(*name)?;
        let text = raw.as_str().unwrap_or_default();
        let typed = match *kind {
            "integer" => text.parse::<i64>().ok().map(Value::from),
            "float" => text.parse::<f64>().ok().map(Value::from),
            _ => None,
        };
        Some(Field { name, value: Some(Json(typed.unwrap_or(raw))) })
    });
    Ok(read.collect())
}
