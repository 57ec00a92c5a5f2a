//! A walk over all pages shows what the provider knows.

use super::calls::Caller;
use super::folded::Folded;
use super::{adapter, block_on};
use crate::support::world::{self, Terms};
use provider::{Answer, Delivery, DeliveryKind, Page, Provider, Target};
use simulator::{ProviderKind, Simulator};

#[test]
fn copernica_s_pages_show_what_copernica_knows() {
    block_on(walk_after_changes(ProviderKind::Copernica));
}

#[test]
fn parallel_s_pages_show_what_parallel_knows() {
    block_on(walk_after_changes(ProviderKind::Parallel));
}

#[test]
fn getprofile_s_pages_show_what_getprofile_knows() {
    block_on(walk_after_changes(ProviderKind::GetProfile));
}

async fn walk_after_changes(kind: ProviderKind) {
    let simulator = world::start(11, 800).await;
    simulator.random_history(kind, 200);
    simulator.getprofile().settle();
    let adapter = adapter(&simulator, kind);
    let folded = walk(&simulator, kind, adapter.as_ref()).await;
    folded.assert_shows(&simulator.truth(kind), &Terms::of(&simulator, kind), adapter.as_ref());
    if kind == ProviderKind::Copernica {
        assert!(folded.unsubscribing().values().any(|action| action == "remove"), "{:?}", folded.unsubscribing());
    }
}

async fn walk(simulator: &Simulator, kind: ProviderKind, adapter: &dyn Provider) -> Folded {
    let caller = Caller::new(simulator, kind, adapter).await;
    let mut folded = Folded::default();
    let mut pages: Vec<Page> = adapter.first_pages();
    pages.reverse();
    for _ in 0..2_000 {
        let Some(page) = pages.pop() else { return folded };
        // A checkpoint is stored as JSON.
        let page: Page = serde_json::from_value(serde_json::to_value(&page).unwrap()).unwrap();
        let (answer, body) = caller.call(adapter, &page.call).await;
        assert_eq!(answer, Answer::Usable, "{page:?}");
        let delivery = Delivery {
            kind: DeliveryKind::Page,
            media_type: "application/json",
            body: &body,
            target: None,
            page: Some(&page),
            is_missing: false,
        };
        let decoded = adapter.decode(&delivery).unwrap_or_else(|error| panic!("{page:?}: {error}"));
        decoded.observations.into_iter().for_each(|observation| folded.add(observation));
        let mut next = adapter.next_pages(&page, &body).unwrap_or_else(|error| panic!("{page:?}: {error}")).next;
        next.reverse();
        pages.extend(next);
    }
    panic!("the walk does not end");
}

#[test]
fn a_fetch_of_what_is_not_there_is_missing_and_not_broken() {
    block_on(async {
        let simulator = world::start(3, 60).await;
        for (kind, id) in [
            (ProviderKind::Copernica, "999999"),
            (ProviderKind::Parallel, "nobody"),
            (ProviderKind::GetProfile, "nobody"),
        ] {
            let adapter = adapter(&simulator, kind);
            let caller = Caller::new(&simulator, kind, adapter.as_ref()).await;
            let call = adapter.fetch(&Target::Profile { id: id.to_owned() });
            let (answer, _) = caller.call(adapter.as_ref(), &call).await;
            assert!(matches!(answer, Answer::Missing(_)), "{kind}: {answer:?}");
        }
    });
}
