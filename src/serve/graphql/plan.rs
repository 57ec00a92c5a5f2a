//! What a plan found: counts, and samples by name. It holds no values; those stay where they are.

use super::fault::Answer;
use super::loader::Loader;
use super::profile::Profile;
use super::word::{ChangeKind, RecordKind};
use crate::mirror::read::ProfileKey;
use ::entity::{source, sync_run};
use async_graphql::{ComplexObject, Context, SimpleObject};
use serde::Deserialize;
use serde_json::Value;

/// What a plan would change.
#[derive(SimpleObject)]
pub struct RunPlan {
    /// How many changes of each kind, one kind once. What changes upstream between two of its pages is counted as one change.
    kinds: Vec<PlannedKind>,
    /// Some of the changes, at most 200, in the order of the lists.
    samples: Vec<PlannedChange>,
    /// How many records no page names, or are not found where they are named. Carrying the plan out asks for each by id before it is taken for gone.
    candidate_count: i64,
    /// Some of them, at most 50.
    candidates: Vec<PlannedCandidate>,
}

/// How many changes of a kind a plan would make.
#[derive(SimpleObject)]
pub struct PlannedKind {
    /// What they would do.
    kind: ChangeKind,
    /// How many.
    count: i64,
}

/// A change that a plan would make.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PlannedChange {
    /// Upstream id of the profile.
    external_id: String,
    /// What it would do.
    kind: ChangeKind,
    /// Names of the fields that differ. Their values are not kept with a plan.
    fields: Vec<String>,
    #[graphql(skip)]
    source_id: i32,
}

/// A record that no page of a plan names, or that it names and does not find.
#[derive(SimpleObject)]
pub struct PlannedCandidate {
    /// Kind of the record.
    record_kind: RecordKind,
    /// Its upstream id.
    external_id: String,
}

#[ComplexObject]
impl PlannedChange {
    /// The profile as it is now; null where the mirror does not know it yet.
    async fn profile(&self, ctx: &Context<'_>) -> Answer<Option<Profile>> {
        let key = ProfileKey { source_id: self.source_id, external_id: self.external_id.clone() };
        match ctx.data_unchecked::<Loader>().load_one(key).await? {
            Some(row) => Profile::new(ctx, row).await,
            None => Ok(None),
        }
    }
}

impl RunPlan {
    /// Reads what a run keeps of its plan. What an older version wrote differently is left out.
    pub(super) fn of(run: &sync_run::Model, source: &source::Model) -> Self {
        let kept = run.plan.as_ref();
        let list = |name: &str| {
            let list = kept.and_then(|plan| plan.get(name)).and_then(Value::as_array);
            list.map(Vec::as_slice).unwrap_or_default()
        };
        let kinds = kept.and_then(|plan| plan.get("kinds")).and_then(Value::as_object);
        let mut kinds: Vec<(::entity::ChangeKind, i64)> = kinds
            .into_iter()
            .flatten()
            .filter_map(|(word, count)| Some((read(&Value::String(word.to_lowercase()))?, count.as_i64()?)))
            .collect();
        kinds.sort_unstable();
        let sample = |row: &Value| {
            let names = row.get("names").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            Some(PlannedChange {
                external_id: text(row, "profile")?,
                kind: read::<::entity::ChangeKind>(row.get("kind")?)?.into(),
                fields: names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                source_id: source.id,
            })
        };
        let candidate = |row: &Value| {
            let record_kind = read::<::entity::RecordKind>(row.get("kind")?)?.into();
            Some(PlannedCandidate { record_kind, external_id: text(row, "id")? })
        };
        Self {
            kinds: kinds.into_iter().map(|(kind, count)| PlannedKind { kind: kind.into(), count }).collect(),
            samples: list("samples").iter().filter_map(sample).collect(),
            candidate_count: run.candidates,
            candidates: list("candidates").iter().filter_map(candidate).collect(),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn text(row: &Value, name: &str) -> Option<String> {
    row.get(name).and_then(Value::as_str).map(str::to_owned)
}
