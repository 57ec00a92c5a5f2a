//! Pages of which the answer is larger than is taken.

use crate::support::app::TestApp;
use crate::support::both;
use simulator::FailureKind;
use simulator::ProviderKind::{Copernica, GetProfile, Parallel};

/// One byte more than is taken.
const TOO_LARGE: FailureKind = FailureKind::HugeBody((32 << 20) + 1);

both!(a_page_that_is_too_large_is_asked_for_in_smaller_ones, |database| {
    let app = TestApp::builder(&database).profiles(440).start().await;
    let people = app.simulator.copernica().databases().into_iter().find(|(_, name)| name == "People").unwrap().0;
    for limit in [1000, 500, 250, 125] {
        let page = format!("/database/{people}/profiles?limit={limit}&");
        app.simulator.faults(Copernica).fail_next_at(&page, 1, TOO_LARGE);
    }
    for limit in [100, 50] {
        let page = format!("status=OPEN&offset=0&limit={limit}&");
        app.simulator.faults(Parallel).fail_next_at(&page, 1, TOO_LARGE);
    }
    app.simulator.faults(GetProfile).fail_next_at("page=2&", 1, TOO_LARGE);
    app.import_all().await;
    let asked = |page: &str| app.simulator.requests_to(page);
    let following = [format!("/database/{people}/profiles?limit=62&total=false"), "offset=21&limit=25&".to_owned()];
    for page in following {
        assert!(asked(&page) > 0, "{page}: as small as the one before");
    }
    assert_eq!((asked("page=2&"), asked("page=3&pageSize=25"), asked("page=4&pageSize=25")), (1, 1, 1));
    for source in ["marketing", "crm", "people"] {
        assert_eq!(app.newest_run(source).await.attempt, 1, "{source}");
    }
    app.finish().await;
});
