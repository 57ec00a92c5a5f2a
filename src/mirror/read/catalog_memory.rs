//! Profile types, collections and field definitions, kept in memory until they may have changed.
//!
//! Nearly every request needs them, and they change when upstream changes its metadata. Who commits such a change in
//! this process says so; what other instances commit is covered by forgetting them now and then.

use super::reader::Reading;
use super::{ReadError, Reader};
use ::entity::{collection, field_definition, profile_type};
use sea_orm::{EntityTrait, QueryOrder, QuerySelect};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;

/// Rows of one kind that all sources together may have; more are not read.
const MAX_ROWS: u64 = 100_000;

/// Field definitions in their order.
pub type Definitions = Arc<Vec<Arc<field_definition::Model>>>;

/// What the profiles and subprofiles of all sources are made of.
#[derive(Debug, Default)]
pub struct Catalog {
    types: HashMap<i32, Arc<profile_type::Model>>,
    collections: HashMap<i32, Arc<collection::Model>>,
    collections_of_types: HashMap<i32, Vec<Arc<collection::Model>>>,
    fields_of_types: HashMap<i32, Definitions>,
    fields_of_collections: HashMap<i32, Definitions>,
}

impl Catalog {
    /// The profile type with this key.
    pub fn profile_type(&self, id: i32) -> Option<Arc<profile_type::Model>> {
        self.types.get(&id).cloned()
    }

    /// The collection with this key.
    pub fn collection(&self, id: i32) -> Option<Arc<collection::Model>> {
        self.collections.get(&id).cloned()
    }

    /// The collections of a profile type, by name; none where there is no such type.
    pub fn collections_of_type(&self, id: i32) -> Option<Vec<Arc<collection::Model>>> {
        self.types.get(&id)?;
        Some(self.collections_of_types.get(&id).cloned().unwrap_or_default())
    }

    /// The fields of a profile type; none where there is no such type.
    pub fn fields_of_type(&self, id: i32) -> Option<Definitions> {
        self.types.get(&id)?;
        Some(self.fields_of_types.get(&id).cloned().unwrap_or_default())
    }

    /// The fields of a collection; none where there is no such collection.
    pub fn fields_of_collection(&self, id: i32) -> Option<Definitions> {
        self.collections.get(&id)?;
        Some(self.fields_of_collections.get(&id).cloned().unwrap_or_default())
    }
}

/// The catalog as last read, shared by the clones of a reader.
#[derive(Default)]
pub(super) struct Memory {
    /// Goes up when what is kept may be old.
    epoch: AtomicU64,
    /// A catalog with the epoch in which its reading began.
    kept: RwLock<Option<(u64, Arc<Catalog>)>>,
    /// Held while it is read, so that many requests cause one reading.
    reading: Mutex<()>,
}

impl Memory {
    fn fresh(&self) -> Option<Arc<Catalog>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let (epoch, catalog) = kept.as_ref()?;
        (*epoch == self.epoch.load(Ordering::Acquire)).then(|| Arc::clone(catalog))
    }
}

impl Reader {
    /// What `find` finds in the catalog, which is read again where it finds nothing: a row of the database may name a
    /// type that is newer than what is kept.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn in_catalog<T>(&self, find: impl Fn(&Catalog) -> Option<T>) -> Result<Option<T>, ReadError> {
        let catalog = self.catalog().await?;
        if let Some(found) = find(&catalog) {
            return Ok(Some(found));
        }
        self.forget_catalog();
        let catalog = self.catalog().await?;
        Ok(find(&catalog))
    }

    /// The catalog is read again before it is used the next time.
    pub fn forget_catalog(&self) {
        self.catalog.epoch.fetch_add(1, Ordering::Release);
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, ReadError> {
        if let Some(catalog) = self.catalog.fresh() {
            return Ok(catalog);
        }
        let _one_at_a_time = self.catalog.reading.lock().await;
        if let Some(catalog) = self.catalog.fresh() {
            return Ok(catalog);
        }
        // Taken before the rows are read: what changes while they are makes them old at once.
        let epoch = self.catalog.epoch.load(Ordering::Acquire);
        let catalog = Arc::new(self.read_catalog().await?);
        let kept = Some((epoch, Arc::clone(&catalog)));
        *self.catalog.kept.write().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(catalog)
    }

    async fn read_catalog(&self) -> Result<Catalog, ReadError> {
        let types = profile_type::Entity::find().limit(MAX_ROWS).all(self.connection()).await;
        let collections = collection::Entity::find()
            .order_by_asc(collection::Column::Name)
            .order_by_asc(collection::Column::Id)
            .limit(MAX_ROWS)
            .all(self.connection())
            .await;
        let fields = field_definition::Entity::find()
            .order_by_asc(field_definition::Column::Position)
            .order_by_asc(field_definition::Column::Name)
            .limit(MAX_ROWS)
            .all(self.connection())
            .await;
        let mut catalog = Catalog::default();
        for row in types.reading("profile types")? {
            catalog.types.insert(row.id, Arc::new(row));
        }
        for row in collections.reading("collections")?.into_iter().map(Arc::new) {
            if let Some(type_id) = row.profile_type_id {
                catalog.collections_of_types.entry(type_id).or_default().push(Arc::clone(&row));
            }
            catalog.collections.insert(row.id, row);
        }
        let (mut of_types, mut of_collections) = (HashMap::new(), HashMap::new());
        for row in fields.reading("field definitions")?.into_iter().map(Arc::new) {
            if let Some(type_id) = row.profile_type_id {
                of_types.entry(type_id).or_insert_with(Vec::new).push(Arc::clone(&row));
            }
            if let Some(collection_id) = row.collection_id {
                of_collections.entry(collection_id).or_insert_with(Vec::new).push(row);
            }
        }
        catalog.fields_of_types = shared(of_types);
        catalog.fields_of_collections = shared(of_collections);
        Ok(catalog)
    }
}

fn shared(fields: HashMap<i32, Vec<Arc<field_definition::Model>>>) -> HashMap<i32, Definitions> {
    fields.into_iter().map(|(owner, fields)| (owner, Arc::new(fields))).collect()
}
