//! A first import, and importing again.

use crate::support::app::TestApp;
use crate::support::both;

both!(an_import_makes_the_mirror_equal_to_the_world, |database| {
    let app = TestApp::imported(&database).await;
    app.finish().await;
});

both!(an_import_again_repairs_what_no_event_told, |database| {
    let app = TestApp::imported(&database).await;
    let parallel = app.simulator.parallel();
    let person = parallel.create_random_profile("Individual").unwrap();
    app.settle().await;
    parallel.silently().close(&person).unwrap();
    let customer = app.simulator.copernica().profile_ids("People").remove(0);
    app.simulator.copernica().silently().update_profile(&customer, &[("lastname", "Silent")]).unwrap();
    app.import_all().await;
    app.finish().await;
});
