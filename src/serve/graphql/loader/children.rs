//! Pages of what hangs on profiles and runs.

use super::{Batch, Loaded};
use crate::mirror::read::{ChildPage, Direction, Predicate, ReadError, RelationshipRow, Slice, SubprofileRow};
use ::entity::{CandidateState, change, deletion_candidate};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A page of children of one profile or run: pages of the same arguments are read together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct ChildrenOf<A> {
    pub parent_id: i64,
    pub arguments: A,
    pub page: ChildPage,
}

/// Arguments of a list of subprofiles.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct SubprofileArguments {
    pub collection: Option<String>,
    pub fields: Option<FieldTests>,
}

/// Tests on fields, told apart by how they are written.
#[derive(Clone)]
pub(in crate::serve::graphql) struct FieldTests {
    pub predicate: Predicate,
    text: String,
}

impl FieldTests {
    pub fn new(predicate: Predicate) -> Self {
        Self { text: format!("{predicate:?}"), predicate }
    }
}

impl PartialEq for FieldTests {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for FieldTests {}

impl Hash for FieldTests {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Arguments of a list of relationships.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct RelationshipArguments {
    pub kind: Option<String>,
    pub direction: Option<Direction>,
    pub with_removed: bool,
}

/// Arguments of a list of candidates for deletion.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct CandidateArguments {
    pub state: Option<CandidateState>,
}

/// Arguments of a history.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::serve::graphql) struct HistoryArguments {
    /// The last revision that is looked at.
    pub until: Option<i64>,
}

/// Reads pages of children, one statement for each set of arguments.
async fn children<A: Clone + Eq + Hash, R, F: Future<Output = Result<Vec<R>, ReadError>>>(
    keys: &[ChildrenOf<A>],
    read: impl Fn(Vec<i64>, A, ChildPage) -> F,
    owner: impl Fn(&R) -> i64,
) -> Loaded<ChildrenOf<A>, Arc<Slice<R>>> {
    let mut groups: HashMap<(A, ChildPage), Vec<i64>> = HashMap::new();
    for key in keys {
        groups.entry((key.arguments.clone(), key.page.clone())).or_default().push(key.parent_id);
    }
    let mut loaded = HashMap::with_capacity(keys.len());
    for ((arguments, page), ids) in groups {
        let mut of: HashMap<i64, Vec<R>> = ids.iter().map(|id| (*id, Vec::new())).collect();
        for row in read(ids, arguments.clone(), page.clone()).await? {
            if let Some(rows) = of.get_mut(&owner(&row)) {
                rows.push(row);
            }
        }
        for (parent_id, rows) in of {
            let key = ChildrenOf { parent_id, arguments: arguments.clone(), page: page.clone() };
            loaded.insert(key, Arc::new(page.cut(rows)));
        }
    }
    Ok(loaded)
}

impl async_graphql::dataloader::Loader<ChildrenOf<SubprofileArguments>> for Batch {
    type Value = Arc<Slice<Arc<SubprofileRow>>>;
    type Error = ReadError;

    async fn load(
        &self,
        keys: &[ChildrenOf<SubprofileArguments>],
    ) -> Loaded<ChildrenOf<SubprofileArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: SubprofileArguments, page: ChildPage| async move {
            let SubprofileArguments { collection, fields } = arguments;
            let fields = fields.as_ref().map(|fields| &fields.predicate);
            let rows = self.0.subprofiles(&ids, collection.as_deref(), fields, &page).await?;
            Ok(rows.into_iter().map(Arc::new).collect())
        };
        children(keys, read, |row: &Arc<SubprofileRow>| row.profile_id).await
    }
}

impl async_graphql::dataloader::Loader<ChildrenOf<RelationshipArguments>> for Batch {
    type Value = Arc<Slice<RelationshipRow>>;
    type Error = ReadError;

    async fn load(
        &self,
        keys: &[ChildrenOf<RelationshipArguments>],
    ) -> Loaded<ChildrenOf<RelationshipArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: RelationshipArguments, page: ChildPage| async move {
            let RelationshipArguments { kind, direction, with_removed } = arguments;
            self.0.relationships(&ids, kind.as_deref(), direction, with_removed, &page).await
        };
        children(keys, read, |row: &RelationshipRow| row.owner_id).await
    }
}

impl async_graphql::dataloader::Loader<ChildrenOf<CandidateArguments>> for Batch {
    type Value = Arc<Slice<deletion_candidate::Model>>;
    type Error = ReadError;

    async fn load(
        &self,
        keys: &[ChildrenOf<CandidateArguments>],
    ) -> Loaded<ChildrenOf<CandidateArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: CandidateArguments, page: ChildPage| async move {
            self.0.deletion_candidates(&ids, arguments.state, &page).await
        };
        children(keys, read, |row: &deletion_candidate::Model| row.run_id).await
    }
}

impl async_graphql::dataloader::Loader<ChildrenOf<HistoryArguments>> for Batch {
    type Value = Arc<Slice<change::Model>>;
    type Error = ReadError;

    async fn load(&self, keys: &[ChildrenOf<HistoryArguments>]) -> Loaded<ChildrenOf<HistoryArguments>, Self::Value> {
        let read = |ids: Vec<i64>, arguments: HistoryArguments, page: ChildPage| async move {
            self.0.history(&ids, arguments.until, &page).await
        };
        children(keys, read, |row: &change::Model| row.profile_id).await
    }
}
