//! How far a run is: the pages still to get, and what it knows of each stream. Kept with each page, in its
//! transaction.

use entity::{Moment, sync_run};
use provider::{Page, PageRead};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Pages that come so far apart may not join, where they do not overlap, milliseconds.
const APART_MS: i64 = 120_000;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The pages still to get, in order.
    pub pages: Vec<Page>,
    /// The streams of records so far, by name.
    #[serde(default)]
    pub streams: BTreeMap<String, Stream>,
    /// When the newest page came; none before the first of this process.
    #[serde(skip)]
    answered_at: Option<Moment>,
    /// The newest page came in place of another.
    #[serde(skip)]
    has_rejoined: bool,
}

/// A stream of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    /// Its first page, to read it once more.
    pub first: Page,
    /// Records in all, as upstream told last.
    pub total: Option<u64>,
    /// It has been read a second time, because the first did not bring what the total promised.
    #[serde(default)]
    pub is_repeated: bool,
}

impl Checkpoint {
    /// Starts from these pages.
    pub fn new(pages: Vec<Page>) -> Self {
        Self { pages, ..Self::default() }
    }

    /// As stored with a run; `None` where the run must start over.
    pub fn of(run: &sync_run::Model) -> Option<Self> {
        Self::deserialize(&run.checkpoint).ok()
    }

    /// As stored.
    pub fn to_json(&self) -> Value {
        serde_json::json!(self)
    }

    /// Takes the next page out: the first, or, where several streams may come next, the one that tells how long its stream
    /// is, and then that of the shortest.
    pub fn next(&mut self) -> Option<Page> {
        let records = self.pages.first()?.records;
        let equals = self.pages.iter().enumerate().filter(|(_, page)| page.records == records && records.is_some());
        let shortest = equals.min_by_key(|(_, page)| page.expected.filter(|_| page.number > 0));
        let at = shortest.map_or(0, |(at, _)| at);
        Some(self.pages.remove(at))
    }

    /// Whether rows may have moved since the newest page came, as far as our clock tells. Whatever it came in place of is to
    /// come now however long that takes, or a run whose pages are slow would not come further.
    pub fn is_apart(&self, now: Moment) -> bool {
        !self.has_rejoined && self.answered_at.is_none_or(|at| !(0..=APART_MS).contains(&(now.0 - at.0)))
    }

    /// Notes that a page came, in its turn or in place of another.
    pub fn came(&mut self, now: Moment, has_rejoined: bool) {
        (self.answered_at, self.has_rejoined) = (Some(now), has_rejoined);
    }

    /// Notes what a page led to. Streams of other profile types than `only` are left out.
    pub fn turn(&mut self, page: &Page, read: PageRead, only: Option<&str>) {
        if let Some(total) = read.total {
            let known = self.streams.entry(page.stream.clone());
            let stream = known.or_insert_with(|| Stream { first: page.clone(), total: None, is_repeated: false });
            stream.total = Some(total);
        }
        let is_wanted = |next: &Page| match (only, &next.profile_type) {
            (Some(only), Some(of)) => only == of,
            _ => true,
        };
        self.pages.splice(0..0, read.next.into_iter().filter(is_wanted));
    }

    /// Records expected in all, over the streams that told.
    pub fn expected(&self) -> Option<i64> {
        let told: Vec<u64> = self.streams.values().filter_map(|stream| stream.total).collect();
        (!told.is_empty()).then(|| i64::try_from(told.iter().sum::<u64>()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider::{Call, Records};

    fn page(stream: &str, profile_type: Option<&str>) -> Page {
        Page { profile_type: profile_type.map(str::to_owned), ..Page::first(stream, Call::get("/x")) }
    }

    #[test]
    fn a_run_for_one_type_leaves_the_streams_of_others_out() {
        let mut checkpoint = Checkpoint::new(vec![page("types", None)]);
        let first = checkpoint.next().unwrap();
        let next = vec![page("a", Some("1")), page("b", Some("2")), page("more types", None)];
        checkpoint.turn(&first, PageRead { next, rows: 2, total: None }, Some("2"));
        let left: Vec<&str> = checkpoint.pages.iter().map(|page| page.stream.as_str()).collect();
        assert_eq!(left, ["b", "more types"]);
    }

    #[test]
    fn the_shortest_of_streams_in_any_order_goes_first_once_each_has_told_its_length() {
        let profiles = |stream: &str| Page { records: Some(Records::Profiles), ..page(stream, None) };
        let first = vec![page("metadata", None), profiles("long"), profiles("short"), page("subprofiles", None)];
        let mut checkpoint = Checkpoint::new(first);
        let mut order = Vec::new();
        while let Some(page) = checkpoint.next() {
            order.push(format!("{} {}", page.stream, page.number));
            let total = match page.stream.as_str() {
                "long" => 4,
                "short" => 3,
                _ => 1,
            };
            let next =
                (u64::from(page.number) + 1 < total).then(|| page.next("x".to_owned(), Call::get("/x"), Some(total)));
            checkpoint.turn(&page, PageRead { next: next.into_iter().collect(), rows: 1, total: Some(total) }, None);
        }
        let short = ["metadata 0", "long 0", "short 0", "short 1", "short 2"];
        assert_eq!(order, [&short[..], &["long 1", "long 2", "long 3", "subprofiles 0"][..]].concat());
    }

    #[test]
    fn pages_that_are_far_apart_are_rejoined_and_come_further_all_the_same() {
        let (mut checkpoint, mut page, mut asked) = (Checkpoint::default(), 1, Vec::new());
        let mut now = Moment(0);
        while page <= 4 {
            let has_rejoined = checkpoint.is_apart(now) && page > 1;
            page -= i32::from(has_rejoined);
            asked.push(page);
            now = now.plus_ms(APART_MS + 1);
            checkpoint.came(now, has_rejoined);
            now = now.plus_ms(APART_MS + 1);
            page += 1;
        }
        assert_eq!(asked, [1, 1, 2, 2, 3, 3, 4]);
        checkpoint.came(now, false);
        assert!(!checkpoint.is_apart(now.plus_ms(APART_MS)) && checkpoint.is_apart(now.plus_ms(APART_MS + 1)));
        let resumed = Checkpoint::deserialize(&checkpoint.to_json()).unwrap();
        assert!(resumed.is_apart(now), "whoever goes on does not know how long it was");
    }

    #[test]
    fn totals_are_summed_over_streams_and_the_last_one_told_counts() {
        let mut checkpoint = Checkpoint::default();
        let told = |total| PageRead { next: Vec::new(), rows: 1, total: Some(total) };
        checkpoint.turn(&page("a", None), told(10), None);
        checkpoint.turn(&page("b", None), told(5), None);
        checkpoint.turn(&page("a", None), told(9), None);
        assert_eq!(checkpoint.expected(), Some(14));
        let stored = sync_run_with(checkpoint.to_json());
        assert_eq!(Checkpoint::deserialize(&stored).unwrap(), checkpoint);
    }

    fn sync_run_with(value: Value) -> Value {
        serde_json::from_str(&value.to_string()).unwrap()
    }
}
