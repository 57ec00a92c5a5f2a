//! The list of ids that stay erased: kept as keyed hashes, so that it tells of nobody who is not asked for.

use super::Eraser;
use crate::apply::batch::{Batch, Origin};
use crate::apply::lifecycles;
use crate::mirror::write;
use entity::Moment;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use std::collections::{HashMap, HashSet};

/// Puts ids on the list.
pub(super) async fn suppress(
    transaction: &DatabaseTransaction,
    eraser: &Eraser,
    now: Moment,
    ids: impl Iterator<Item = &String>,
) -> Result<(), DbErr> {
    let mut key = vec![0; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| DbErr::Custom("no randomness for a key".to_owned()))?;
    let key = write::ensure_suppression_key(transaction, key).await?;
    let digests = ids.map(|id| suppression_digest(&key, &eraser.source_name, id)).collect();
    write::suppress(transaction, now, digests).await
}

/// Makes profiles that are new to the mirror and on the suppression list what they were: erased. Others may have named them
/// already, and left a placeholder.
pub(in crate::apply) async fn uphold(
    connection: &impl ConnectionTrait,
    eraser: &Eraser,
    batch: &mut Batch<'_>,
    names: &HashSet<String>,
    origin: &Origin,
) -> Result<(), DbErr> {
    let new: Vec<&String> = names.iter().filter(|name| !batch.holds(name) || batch.is_placeholder(name)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let Some(key) = write::suppression_key(connection).await? else { return Ok(()) };
    let digests: HashMap<Vec<u8>, &String> =
        new.into_iter().map(|id| (suppression_digest(&key, &eraser.source_name, id), id)).collect();
    let wanted: Vec<Vec<u8>> = digests.keys().cloned().collect();
    let mut listed = write::suppressed(connection, &wanted).await?;
    listed.sort_by(|one, other| one.digest.cmp(&other.digest));
    for row in listed {
        if let Some(id) = digests.get(&row.digest) {
            lifecycles::uphold(batch, origin, id, row.at);
        }
    }
    Ok(())
}

/// The keyed hash under which an erased id stays known.
fn suppression_digest(key: &[u8], source_name: &str, external_id: &str) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(source_name.as_bytes());
    // A name holds no NUL, so that no two pairs make the same bytes.
    context.update(&[0]);
    context.update(external_id.as_bytes());
    context.sign().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_key_source_and_id() {
        let digest = |key: u8, source: &str, id: &str| suppression_digest(&[key; 32], source, id);
        let one = digest(1, "crm", "a");
        assert_eq!(one.len(), 32);
        assert_eq!(one, digest(1, "crm", "a"));
        assert!(
            [digest(2, "crm", "a"), digest(1, "cr", "ma"), digest(1, "crm", "b")].iter().all(|other| *other != one)
        );
    }
}
