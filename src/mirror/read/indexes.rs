//! Which indexes of fields there are, so that a client can be told of a filter that none serves.

use super::predicate::unserved;
use super::reader::Reading;
use super::{Order, Predicate, ReadError, Reader};
use crate::db::field_index;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// What is known of the indexes is looked up again after this long.
const FRESH: Duration = Duration::from_secs(10);

/// Names of the indexes that can be used, and when that was read.
#[derive(Clone)]
pub(super) struct Known {
    at: Instant,
    names: Arc<BTreeSet<String>>,
}

impl Reader {
    /// The parts of a filter and an order that no index serves, in words: `field p_x`, `order p_x`, `email`. Empty where
    /// an index narrows the filter as a whole. Costs a statement every ten seconds at most.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn unindexed(
        &self,
        predicate: Option<&Predicate>,
        order: &[Order],
    ) -> Result<BTreeSet<String>, ReadError> {
        let nothing = unserved(predicate, order, &|_, _| false);
        if nothing.is_empty() {
            return Ok(nothing);
        }
        let names = self.field_indexes().await?;
        let dialect = self.dialect();
        Ok(unserved(predicate, order, &|name, reading| names.contains(&field_index::name(dialect, name, reading))))
    }

    pub(super) async fn field_indexes(&self) -> Result<Arc<BTreeSet<String>>, ReadError> {
        let known = self.indexes.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < FRESH) {
            return Ok(known.names);
        }
        let found = field_index::list(self.connection()).await.reading("the indexes of fields")?;
        let usable = found.into_iter().filter(|index| index.is_usable).map(|index| index.name);
        let known = Known { at: Instant::now(), names: Arc::new(usable.collect()) };
        *self.indexes.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known.names)
    }
}
