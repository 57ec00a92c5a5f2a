//! What unsubscribing does is configured upstream, and shows whether somebody has.

use crate::support::app::TestApp;
use crate::support::both;
use serde_json::{Value, json};
use simulator::copernica::Unsubscribe;

const TYPES: &str = "{ profileTypes(source: \"marketing\", first: 10) { nodes {
    name unsubscribing { action fields } collections { unsubscribing { action fields } } } } }";
const PROFILE: &str = "query($by: ProfileRef!) { profile(by: $by) { isUnsubscribed } }";

both!(what_unsubscribing_does_is_mirrored_and_tells_who_has, |database| {
    let app = TestApp::builder(&database).start().await;
    let copernica = app.simulator.copernica();
    let given = vec![("lastname".to_owned(), "Unsubscribed".to_owned())];
    copernica.set_unsubscribe("People", Unsubscribe::Update(given)).unwrap();
    app.import_all().await;
    let client = app.client();
    let types = client.query(TYPES, json!({})).await;
    let types = types["profileTypes"]["nodes"].as_array().unwrap();
    let people = types.iter().find(|shown| shown["name"] == "People").expect("people");
    assert_eq!(people["unsubscribing"], json!({ "action": "UPDATE", "fields": { "lastname": "Unsubscribed" } }));
    let nothing = json!({ "action": "NOTHING", "fields": {} });
    for collection in types.iter().flat_map(|shown| shown["collections"].as_array().unwrap()) {
        assert_eq!(collection["unsubscribing"], nothing);
    }

    let ids = copernica.profile_ids("People");
    let is_unsubscribed = async |id: &str| -> Value {
        let by = json!({ "by": { "key": { "source": "marketing", "externalId": id } } });
        client.query(PROFILE, by).await["profile"]["isUnsubscribed"].take()
    };
    assert_eq!(is_unsubscribed(&ids[0]).await, json!(false));
    copernica.unsubscribe(&ids[0]).unwrap();
    app.settle().await;
    assert_eq!(is_unsubscribed(&ids[0]).await, json!(true));
    assert_eq!(is_unsubscribed(&ids[1]).await, json!(false));
    let company = copernica.profile_ids("Companies").remove(0);
    assert_eq!(is_unsubscribed(&company).await, Value::Null, "unsubscribing gives no values there");
    app.finish().await;
});
