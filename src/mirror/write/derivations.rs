//! Profile types whose profiles are to be derived from their fields anew.

use entity::{DeliveryKind, derivation, profile};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};

/// Notes that the profiles that there are of a type are to be derived anew, from the first. `told_anew` are told even where
/// nothing else has changed.
pub(crate) async fn ask_to_derive(
    transaction: &impl ConnectionTrait,
    source_id: i32,
    profile_type_id: i32,
    told_anew: i32,
    (delivery_id, delivery_kind): (i64, DeliveryKind),
) -> Result<(), DbErr> {
    use derivation::Column;
    let last: Option<Option<i64>> = profile::Entity::find()
        .select_only()
        .column_as(profile::Column::Id.max(), "last")
        .into_tuple()
        .one(transaction)
        .await?;
    let row = derivation::ActiveModel {
        profile_type_id: Set(profile_type_id),
        source_id: Set(source_id),
        done_profile_id: Set(0),
        last_profile_id: Set(last.flatten().unwrap_or(0)),
        told_anew: Set(told_anew),
        delivery_id: Set(delivery_id),
        delivery_kind: Set(delivery_kind),
    };
    // Those that are to be told anew still are, where a second change comes before the end of the first.
    let mut news = vec![Column::DoneProfileId, Column::LastProfileId, Column::DeliveryId, Column::DeliveryKind];
    news.extend((told_anew > 0).then_some(Column::ToldAnew));
    let conflict = OnConflict::column(Column::ProfileTypeId).update_columns(news).to_owned();
    derivation::Entity::insert(row).on_conflict(conflict).exec_without_returning(transaction).await.map(drop)
}

/// What of a source is to be derived anew next; none where nothing is.
pub(crate) async fn load_derivation(
    connection: &impl ConnectionTrait,
    source_id: i32,
) -> Result<Option<derivation::Model>, DbErr> {
    derivation::Entity::find()
        .filter(derivation::Column::SourceId.eq(source_id))
        .order_by_asc(derivation::Column::ProfileTypeId)
        .one(connection)
        .await
}

/// Notes how far a derivation is; its end where nothing is left.
pub(crate) async fn note_derived(
    transaction: &impl ConnectionTrait,
    row: derivation::Model,
    is_over: bool,
) -> Result<(), DbErr> {
    if is_over {
        return derivation::Entity::delete_by_id(row.profile_type_id).exec(transaction).await.map(drop);
    }
    let row = row.into_active_model().reset_all();
    derivation::Entity::update(row).exec(transaction).await.map(drop)
}
