//! Takes what deliveries tell of somebody out of their bodies.

use crate::inbox::Context;
use crate::inbox::erase::{self, Kept};
use crate::mirror::write;
use entity::Moment;
use provider::{Delivery, Provider, Redacted, Subjects};
use sea_orm::{DatabaseTransaction, DbErr};

/// How many deliveries were emptied whole, and how many lost a part.
#[derive(Debug, Default)]
pub(super) struct Emptied {
    pub whole: usize,
    pub slices: usize,
}

/// A kept delivery as providers read it.
pub(super) fn delivery<'a>(kept: &'a Kept, context: Option<&'a Context>) -> Delivery<'a> {
    Delivery {
        kind: kept.kind.into(),
        media_type: &kept.media_type,
        body: &kept.body,
        target: context.and_then(|context| context.target.as_ref()),
        page: context.and_then(|context| context.page.as_ref()),
        is_missing: context.is_some_and(|context| context.is_missing),
    }
}

/// Takes what they tell of these records out of deliveries, a few bodies at a time.
pub(super) async fn empty(
    transaction: &DatabaseTransaction,
    provider: &dyn Provider,
    now: Moment,
    subjects: &Subjects,
    mut positions: Vec<i64>,
) -> Result<Emptied, DbErr> {
    positions.sort_unstable();
    positions.dedup();
    let mut whole = Vec::new();
    let mut slices = 0;
    while !positions.is_empty() {
        for kept in erase::take_bodies(transaction, &mut positions).await? {
            let context = Context::from_json(kept.context.as_ref());
            match provider.redact(&delivery(&kept, context.as_ref()), subjects) {
                Redacted::Untouched => {}
                Redacted::Slice(body) => {
                    erase::rewrite(transaction, kept.id, body).await?;
                    slices += 1;
                }
                Redacted::Nothing => whole.push(kept.id),
            }
        }
    }
    erase::empty(transaction, now, &whole).await?;
    write::empty_verdicts(transaction, &whole).await?;
    Ok(Emptied { whole: whole.len(), slices })
}
