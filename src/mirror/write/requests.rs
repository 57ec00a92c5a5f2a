//! Fetch requests: what apply wishes to look up upstream.

use super::CHUNK;
use entity::{FetchState, Moment, Purpose, fetch_request};
use provider::{Asked, Records, Target};
use sea_orm::sea_query::{Condition, Expr, OnConflict};
use sea_orm::{
    ActiveEnum, ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait,
    QueryFilter, QuerySelect,
};
use std::collections::HashMap;

/// A wish to fetch a record.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// What to fetch.
    pub target: Target,
    /// External id of the profile type or collection that it belongs to, where known.
    pub within: Option<String>,
    /// Inbox position of the delivery that asks.
    pub position: i64,
    /// Why.
    pub reason: String,
    /// Not before then.
    pub not_before: Moment,
    /// Asked for by a creation.
    pub is_creation: bool,
    /// Its right to a call.
    pub purpose: Purpose,
}

/// An answered request that must be asked again.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    /// Its id.
    pub request_id: i64,
    /// Inbox position at which the answer was asked for.
    pub started_at: i64,
    /// Not before then.
    pub not_before: Moment,
    /// Answers in a row that said the record is not there.
    pub misses: i32,
    /// Answers so far that were not final.
    pub attempts: i32,
}

/// A request whose answer cannot be used: it is given up, so that whoever waits for it does not ask for the same again.
#[derive(Clone, Debug)]
pub(crate) struct GivenUp {
    /// Its id.
    pub request_id: i64,
    /// Inbox position at which the answer was asked for.
    pub started_at: i64,
    /// Why the answer is of no use.
    pub problem: String,
}

/// One key for one record, whatever asks for it.
pub(crate) fn target_key(target: &Target) -> String {
    match target {
        Target::Profile { id } => format!("profile:{id}"),
        Target::Subprofile { id } => format!("subprofile:{id}"),
        Target::Metadata { profile_type } => format!("metadata:{}", profile_type.as_deref().unwrap_or_default()),
        Target::Ids { records: Records::Profiles, place } => format!("profile-ids:{place}"),
        Target::Ids { records: Records::Subprofiles, place } => format!("subprofile-ids:{place}"),
    }
}

/// The requests with these ids.
pub(crate) async fn load_requests(
    transaction: &impl ConnectionTrait,
    ids: &[i64],
) -> Result<Vec<fetch_request::Model>, DbErr> {
    let mut rows = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let named = fetch_request::Entity::find().filter(fetch_request::Column::Id.is_in(chunk.iter().copied()));
        rows.extend(named.all(transaction).await?);
    }
    Ok(rows)
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// Its state.
    pub state: FetchState,
    /// Inbox position of the newest that asks for it.
    pub wanted_position: i64,
}

/// Where the requests with these keys stand.
pub(crate) async fn load_request_states(
    connection: &impl ConnectionTrait,
    source_id: i32,
    keys: &[String],
) -> Result<HashMap<String, RequestState>, DbErr> {
    use fetch_request::Column;
    let mut states = HashMap::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let rows: Vec<(String, FetchState, i64)> = fetch_request::Entity::find()
            .select_only()
            .columns([Column::TargetKey, Column::State, Column::WantedPosition])
            .filter(Column::SourceId.eq(source_id))
            .filter(Column::TargetKey.is_in(chunk.iter().cloned()))
            .into_tuple()
            .all(connection)
            .await?;
        let known =
            rows.into_iter().map(|(key, state, wanted_position)| (key, RequestState { state, wanted_position }));
        states.extend(known);
    }
    Ok(states)
}

/// Ends answered requests, each given with the inbox position at which its answer was asked for: those that
/// nothing newer asks for are gone, the others wait again. The position is the answer's own: the request may have been
/// claimed anew while a late answer was under way, and then waits for another that says how it goes on.
pub(crate) async fn settle_requests(
    transaction: &impl ConnectionTrait,
    now: Moment,
    done: &[(i64, i64)],
    again: &[Again],
) -> Result<(), DbErr> {
    use fetch_request::Column;
    for chunk in done.chunks(CHUNK) {
        let is_over = chunk.iter().fold(Condition::any(), |any, (id, started_at)| {
            any.add(Column::Id.eq(*id).and(Column::WantedPosition.lte(*started_at)))
        });
        fetch_request::Entity::delete_many().filter(is_over).exec(transaction).await?;
        wait_again(transaction, now, chunk).await?;
    }
    for request in again {
        fetch_request::Entity::update_many()
            .col_expr(Column::State, Expr::value(FetchState::Pending.to_value()))
            .col_expr(Column::NotBefore, Expr::value(request.not_before))
            .col_expr(Column::Misses, Expr::value(request.misses))
            .col_expr(Column::Attempts, Expr::value(request.attempts))
            .filter(Column::Id.eq(request.request_id))
            .filter(Column::StartedPosition.eq(request.started_at))
            .filter(Column::State.eq(FetchState::Answered))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Gives requests up whose answers cannot be used. One that something newer asks for waits again.
pub(crate) async fn give_up_requests(
    transaction: &impl ConnectionTrait,
    now: Moment,
    given_up: &[GivenUp],
) -> Result<(), DbErr> {
    use fetch_request::Column;
    for GivenUp { request_id, started_at, problem } in given_up {
        fetch_request::Entity::update_many()
            .col_expr(Column::State, Expr::value(FetchState::Parked.to_value()))
            .col_expr(Column::Misses, Expr::value(0))
            .col_expr(Column::LastError, Expr::value(problem.as_str()))
            .filter(Column::Id.eq(*request_id))
            .filter(Column::StartedPosition.eq(*started_at))
            .filter(Column::WantedPosition.lte(*started_at))
            .filter(Column::State.eq(FetchState::Answered))
            .exec(transaction)
            .await?;
        wait_again(transaction, now, &[(*request_id, *started_at)]).await?;
    }
    Ok(())
}

/// Lets answered requests wait for another answer, with all their tries.
async fn wait_again(transaction: &impl ConnectionTrait, now: Moment, answered: &[(i64, i64)]) -> Result<(), DbErr> {
    use fetch_request::Column;
    fetch_request::Entity::update_many()
        .col_expr(Column::State, Expr::value(FetchState::Pending.to_value()))
        .col_expr(Column::NotBefore, Expr::value(now))
        .col_expr(Column::Attempts, Expr::value(0))
        .col_expr(Column::Misses, Expr::value(0))
        .filter(answered.iter().fold(Condition::any(), |any, (id, started_at)| {
            any.add(Column::Id.eq(*id).and(Column::StartedPosition.eq(*started_at)))
        }))
        .filter(Column::State.eq(FetchState::Answered))
        .exec(transaction)
        .await
        .map(drop)
}

/// Drops requests that have become pointless. One that runs already ends by itself.
pub(crate) async fn cancel_requests(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    keys: &[String],
) -> Result<(), DbErr> {
    use fetch_request::Column;
    for chunk in keys.chunks(CHUNK) {
        fetch_request::Entity::delete_many()
            .filter(Column::SourceId.eq(source_id))
            .filter(Column::TargetKey.is_in(chunk.iter().cloned()))
            .filter(Column::State.is_in([FetchState::Pending, FetchState::Parked]))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Writes wishes. Many for one record are one request; one that runs already is asked for once more.
pub(crate) async fn write_wishes(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    now: Moment,
    wishes: Vec<Wish>,
) -> Result<(), DbErr> {
    use fetch_request::Column;
    let stored = |column: Column| Expr::col((fetch_request::Entity, column));
    let excluded = |column: &'static str| Expr::col(("excluded", column));
    let is_newer = || stored(Column::WantedPosition).lt(excluded("wanted_position"));
    let is_parked = || stored(Column::State).eq(FetchState::Parked.to_value());
    for chunk in wishes.chunks(CHUNK) {
        let asked = |wish: &Wish| Asked { target: wish.target.clone(), within: wish.within.clone() };
        let rows = chunk.iter().map(|wish| fetch_request::ActiveModel {
            id: NotSet,
            source_id: Set(source_id),
            target_key: Set(target_key(&wish.target)),
            target: Set(serde_json::json!(asked(wish))),
            state: Set(FetchState::Pending),
            wanted_position: Set(wish.position),
            started_position: Set(0),
            reason: Set(wish.reason.clone()),
            requested_at: Set(now),
            not_before: Set(wish.not_before),
            claimed_until: Set(Moment(0)),
            attempts: Set(0),
            misses: Set(0),
            is_creation: Set(wish.is_creation),
            purpose: Set(wish.purpose),
            last_error: Set(None),
        });
        let conflict = OnConflict::columns([Column::SourceId, Column::TargetKey])
            .value(
                Column::WantedPosition,
                Expr::case(is_newer(), excluded("wanted_position")).finally(stored(Column::WantedPosition)),
            )
            // Whoever asks last knows best where it belongs.
            .update_column(Column::Target)
            .value(
                Column::NotBefore,
                Expr::case(stored(Column::NotBefore).gt(excluded("not_before")), excluded("not_before"))
                    .finally(stored(Column::NotBefore)),
            )
            .value(
                Column::Purpose,
                // The words sort by right. One that was given up has the right of whoever asks anew.
                Expr::case(is_parked(), excluded("purpose"))
                    .case(stored(Column::Purpose).gt(excluded("purpose")), excluded("purpose"))
                    .finally(stored(Column::Purpose)),
            )
            // Newer news has all its tries, since it may bring the next one forward; and what was not found before it came
            // says nothing about what it tells of.
            .value(
                Column::Attempts,
                Expr::case(is_parked().or(is_newer()), Expr::value(0)).finally(stored(Column::Attempts)),
            )
            .value(
                Column::Misses,
                Expr::case(is_parked().or(is_newer()), Expr::value(0)).finally(stored(Column::Misses)),
            )
            .value(
                Column::State,
                Expr::case(is_parked(), Expr::value(FetchState::Pending.to_value())).finally(stored(Column::State)),
            )
            .to_owned();
        fetch_request::Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(transaction).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::read::fixture::{Fixture, NEW_YEAR};

    #[tokio::test]
    async fn a_wish_for_older_news_does_not_take_the_newer_one_back() {
        let fixture = Fixture::new().await;
        let source_id = fixture.source("crm").await;
        let target = Target::Profile { id: "p1".to_owned() };
        for position in [7, 12, 9] {
            let wish = Wish {
                target: target.clone(),
                within: None,
                position,
                reason: "news".to_owned(),
                not_before: NEW_YEAR,
                is_creation: false,
                purpose: Purpose::Live,
            };
            write_wishes(fixture.db.writer(), source_id, NEW_YEAR, vec![wish]).await.unwrap();
        }
        let key = target_key(&target);
        let known = load_request_states(fixture.db.primary(), source_id, std::slice::from_ref(&key)).await.unwrap();
        let wanted = RequestState { state: FetchState::Pending, wanted_position: 12 };
        assert_eq!(known.get(&key), Some(&wanted));
    }

    #[tokio::test]
    async fn newer_news_has_all_its_tries() {
        let fixture = Fixture::new().await;
        let source_id = fixture.source("crm").await;
        let mut attempts = Vec::new();
        for position in [7, 7, 12] {
            let wish = Wish {
                target: Target::Profile { id: "p1".to_owned() },
                within: None,
                position,
                reason: "news".to_owned(),
                not_before: NEW_YEAR,
                is_creation: false,
                purpose: Purpose::Live,
            };
            write_wishes(fixture.db.writer(), source_id, NEW_YEAR, vec![wish]).await.unwrap();
            let row = fetch_request::Entity::find().one(fixture.db.primary()).await.unwrap().unwrap();
            attempts.push(row.attempts);
            let failed = fetch_request::Entity::update_many().col_expr(fetch_request::Column::Attempts, Expr::value(9));
            failed.exec(fixture.db.writer()).await.unwrap();
        }
        assert_eq!(attempts, [0, 9, 0]);
    }
}
