//! Sources by id and by name, kept in memory, and their moving state.

use super::reader::Reading;
use super::{ReadError, Reader};
use ::entity::{source, source_state};
use sea_orm::{EntityTrait, QueryOrder};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

/// The sources that the mirror knows. There are few and they are never renamed, so that they are read once.
#[derive(Debug, Default)]
pub struct Sources {
    rows: Vec<Arc<source::Model>>,
    by_id: HashMap<i32, Arc<source::Model>>,
    by_name: HashMap<String, Arc<source::Model>>,
}

impl Sources {
    /// All of them, in the order in which the mirror first saw them.
    pub fn all(&self) -> &[Arc<source::Model>] {
        &self.rows
    }

    /// The source with this key.
    pub fn by_id(&self, id: i32) -> Option<&Arc<source::Model>> {
        self.by_id.get(&id)
    }

    /// The source of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<source::Model>> {
        self.by_name.get(name)
    }
}

impl Reader {
    /// The sources as last read; read now where none are known yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sources(&self) -> Result<Arc<Sources>, ReadError> {
        let known = Arc::clone(&self.sources.read().unwrap_or_else(PoisonError::into_inner));
        if known.rows.is_empty() { self.reload_sources().await } else { Ok(known) }
    }

    /// The sources, read again where one of these is not known yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn sources_with(&self, mut ids: impl Iterator<Item = i32>) -> Result<Arc<Sources>, ReadError> {
        let sources = self.sources().await?;
        if ids.all(|id| sources.by_id(id).is_some()) { Ok(sources) } else { self.reload_sources().await }
    }

    /// Reads the sources again.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn reload_sources(&self) -> Result<Arc<Sources>, ReadError> {
        let rows = source::Entity::find()
            .order_by_asc(source::Column::Id)
            .all(self.connection())
            .await
            .reading("the sources")?;
        let rows: Vec<_> = rows.into_iter().map(Arc::new).collect();
        let sources = Arc::new(Sources {
            by_id: rows.iter().map(|row| (row.id, Arc::clone(row))).collect(),
            by_name: rows.iter().map(|row| (row.name.clone(), Arc::clone(row))).collect(),
            rows,
        });
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&sources);
        Ok(sources)
    }

    /// The source with this key, looked for in the database where it is new.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn source_by_id(&self, id: i32) -> Result<Option<Arc<source::Model>>, ReadError> {
        if let Some(source) = self.sources().await?.by_id(id) {
            return Ok(Some(Arc::clone(source)));
        }
        Ok(self.reload_sources().await?.by_id(id).cloned())
    }

    /// The source of this name, looked for in the database where it is new.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn source_by_name(&self, name: &str) -> Result<Option<Arc<source::Model>>, ReadError> {
        if let Some(source) = self.sources().await?.by_name(name) {
            return Ok(Some(Arc::clone(source)));
        }
        Ok(self.reload_sources().await?.by_name(name).cloned())
    }

    /// The moving state of every source.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn source_states(&self) -> Result<Vec<source_state::Model>, ReadError> {
        source_state::Entity::find()
            .order_by_asc(source_state::Column::SourceId)
            .all(self.connection())
            .await
            .reading("the states of the sources")
    }
}
