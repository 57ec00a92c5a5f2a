//! Draws the profiles that are read by id, each as likely as any other.

use entity::{Moment, Status, drift_sample, profile};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    Select, SelectGetableTuple, Selector,
};

/// A profile that was drawn.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// Its row.
    pub id: i64,
    /// Its external id.
    pub external_id: String,
    /// Inbox position of the newest delivery that told of it.
    pub position: i64,
}

/// Row ids that are tried in one statement of a draw.
const TRIED: usize = 64;
/// Such statements before the source is looked through.
const TRIES: usize = 4;

/// Draws known profiles of a source at random, each as likely as any other, and none that was drawn since a moment
/// while others are left. `random` gives numbers from 0 up to its argument, that one left out.
///
/// Row ids are guessed first: that costs the same however many profiles there are. Only where the source has few of
/// all the rows is it looked through.
pub(crate) async fn draw_profiles(
    connection: &impl ConnectionTrait,
    source_id: i32,
    size: usize,
    since: Moment,
    mut random: impl FnMut(u64) -> u64,
) -> Result<Vec<Drawn>, DbErr> {
    let last: Option<Option<i64>> = profile::Entity::find()
        .select_only()
        .column_as(profile::Column::Id.max(), "last")
        .into_tuple()
        .one(connection)
        .await?;
    let Some(last) = last.flatten().and_then(|last| u64::try_from(last).ok()) else { return Ok(Vec::new()) };
    let mut drawn: Vec<Drawn> = Vec::with_capacity(size);
    for _ in 0..TRIES {
        if drawn.len() >= size {
            break;
        }
        let guessed: Vec<i64> = (0..TRIED).filter_map(|_| i64::try_from(random(last) + 1).ok()).collect();
        let hit = drawable(source_id, Some(since)).filter(profile::Column::Id.is_in(guessed.clone()));
        let hit = read_drawn(hit).all(connection).await?;
        // In the order of the guesses: the first rows of the table are no likelier than others.
        for id in guessed {
            let is_new = drawn.len() < size && !drawn.iter().any(|known| known.id == id);
            drawn.extend(hit.iter().filter(|row| is_new && row.0 == id).map(Drawn::new));
        }
    }
    for not_since in [Some(since), None] {
        if drawn.len() >= size {
            break;
        }
        let without = drawn.iter().map(|known| known.id);
        let left = drawable(source_id, not_since).filter(profile::Column::Id.is_not_in(without));
        let count = left.clone().count(connection).await?;
        let mut places: Vec<u64> = Vec::new();
        while count > 0 && places.len() < usize::try_from(count).unwrap_or(size).min(size - drawn.len()) {
            let place = random(count);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        for place in places {
            let next = left.clone().order_by_asc(profile::Column::ExternalId).offset(place).limit(1);
            drawn.extend(read_drawn(next).one(connection).await?.iter().map(Drawn::new));
        }
    }
    Ok(drawn)
}

type DrawnRow = (i64, String, i64, i64);

impl Drawn {
    fn new((id, external_id, position, status_position): &DrawnRow) -> Self {
        Self { id: *id, external_id: external_id.clone(), position: *Ord::max(position, status_position) }
    }
}

fn read_drawn(query: Select<profile::Entity>) -> Selector<SelectGetableTuple<DrawnRow>> {
    use profile::Column;
    query
        .select_only()
        .columns([Column::Id, Column::ExternalId, Column::Position, Column::StatusPosition])
        .into_tuple::<DrawnRow>()
}

fn drawable(source_id: i32, not_since: Option<Moment>) -> Select<profile::Entity> {
    use profile::Column;
    let live = profile::known()
        .filter(Column::SourceId.eq(source_id))
        .filter(Column::Status.is_not_in([Status::Deleted, Status::Anonymized]));
    let Some(since) = not_since else { return live };
    let drawn_before = Query::select()
        .expr(Expr::value(1))
        .from(drift_sample::Entity)
        .and_where(
            Expr::col((drift_sample::Entity, drift_sample::Column::ProfileId)).equals((profile::Entity, Column::Id)),
        )
        .and_where(drift_sample::Column::AskedAt.gte(since))
        .to_owned();
    live.filter(Expr::exists(drawn_before).not())
}
