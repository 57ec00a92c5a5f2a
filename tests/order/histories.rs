//! Random histories through the whole service: events doubled, held back and out of order, with imports between.

use crate::support::app::TestApp;
use crate::support::{both, seeds};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use simulator::ProviderKind;

/// Histories on each database; each has some twenty changes at all three providers.
const HISTORIES: u64 = 12;

both!(random_histories_leave_the_mirror_equal_to_the_world, |database| {
    let app = TestApp::imported(&database).await;
    for provider in ProviderKind::ALL {
        app.simulator.faults(provider).outgoing(|outgoing| {
            outgoing.duplicate_share = 0.25;
            outgoing.hold_share = 0.25;
            outgoing.reorder_window = 6;
            outgoing.burst = 4;
        });
    }
    for seed in seeds(HISTORIES) {
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..rng.random_range(10..30) {
            app.simulator.advance(chrono::Duration::seconds(rng.random_range(0..3)));
            app.simulator.random_change(&mut rng);
            if rng.random_bool(0.3) {
                app.simulator.send_all().await;
            }
            if rng.random_bool(0.1) {
                app.drain_what_is_due().await;
            }
        }
        app.simulator.getprofile().settle();
        app.settle().await;
        app.assert_rows_equal_world_but_for_silent_ends(seed).await;
    }
    app.finish_apart_from_world().await;
});
