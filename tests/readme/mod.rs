//! The README's walk through three sources, with its own configuration and payloads.

use crate::support::both;
use crate::support::graphql::Client;
use crate::support::socket::Subscription;
use profile_mirror::app::{self, AppOptions};
use profile_mirror::clock::{Clock, SystemClock};
use profile_mirror::config::{self, Config, Secret};
use serde_json::{Value, json};
use simulator::{ProviderKind, SignedWebhook, Simulator, SimulatorOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

const UPSTREAM: &str = "http://127.0.0.1:9090";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/three-sources")
}

/// What the README's `export` lines set.
fn exported(name: &str) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let set = format!("{name}=");
    let value = readme.split_whitespace().find_map(|word| word.strip_prefix(set.as_str()));
    value.unwrap_or_else(|| panic!("README.md does not set {name}")).to_owned()
}

/// The example configuration, with addresses of this test and the secrets that the README exports.
fn configuration(upstream: &str, database_url: &str) -> Config {
    let text = std::fs::read_to_string(folder().join("mirror.toml")).unwrap().replace(UPSTREAM, upstream);
    let mut config = config::parse(&text, "mirror.toml", std::iter::empty()).unwrap();
    let reveal = |secret: &mut Secret| {
        let Secret::Env(name) = secret else { panic!("a secret that stands in the environment") };
        *secret = Secret::Value(exported(name));
    };
    for source in &mut config.sources {
        source.token.as_mut().map(reveal);
        source.webhook.secrets.iter_mut().for_each(reveal);
    }
    reveal(&mut config.access.keys[0].key);
    config.server.listen = "127.0.0.1:0".to_owned();
    config.database.url = database_url.to_owned();
    config
}

both!(the_walk_through_three_sources_does_what_the_readme_says, |database| {
    let options = SimulatorOptions { profiles: 100, real_time: true, start: SystemClock.today(), ..Default::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let config = configuration(simulator.origin(), &database.url);
    let running = app::start(config, AppOptions::default()).await.unwrap();
    let key = exported("PROFILE_MIRROR_ADMIN_KEY");
    let document = "subscription { profileChanges { __typename ... on ProfileChange { change { kind } profile { externalId } } } }";
    let mut subscription = Subscription::open(running.address(), &key, document, json!({})).await;
    assert_eq!(subscription.next().await["profileChanges"]["__typename"], "CaughtUp");

    simulator.parallel().close("prof1").unwrap();
    let sendings = [
        (ProviderKind::Copernica, "marketing", "copernica-profile.form"),
        (ProviderKind::Copernica, "marketing", "copernica-subprofile.form"),
        (ProviderKind::Parallel, "crm", "parallel-closed.json"),
        (ProviderKind::GetProfile, "people", "getprofile-updated.json"),
    ];
    for (provider, source, file) in sendings {
        let body = std::fs::read(folder().join(file)).unwrap();
        let registered = format!("http://127.0.0.1:8080/webhooks/{source}");
        let signed = simulator.sign(provider, body, SystemClock.today(), &registered);
        let url = format!("http://{}/webhooks/{source}", running.address());
        assert_eq!(simulator.send(&SignedWebhook { url, ..signed }).await.unwrap(), 200, "{file}");
        running.drain(Duration::from_secs(30)).await.unwrap();
    }

    let query = "{ profiles(first: 10) { nodes {
        externalId displayName status fields { name text }
        subprofiles(first: 5) { nodes { externalId fields { name text } } }
        lifecycle { since history { to at cause } } } } }";
    let data = Client::new(running.address(), Some(&key)).query(query, json!({})).await;
    let profiles = data["profiles"]["nodes"].as_array().unwrap();
    let profile = |id: &str| profiles.iter().find(|profile| profile["externalId"] == id).expect("the profile");
    let mail = json!({ "name": "mail", "text": "johny+newemail@example.com" });
    assert_eq!(profile("123")["displayName"], "Johny");
    assert!(profile("123")["fields"].as_array().unwrap().contains(&mail));
    let subprofile = &profile("123")["subprofiles"]["nodes"][0];
    assert_eq!(subprofile["externalId"], "123");
    assert!(subprofile["fields"].as_array().unwrap().contains(&mail));
    assert_eq!(profile("prof1")["status"], "CLOSED");
    assert_eq!(profile("prof1")["lifecycle"]["history"][0]["cause"], "PROFILE_CLOSED");
    assert_ne!(profile("12345")["fields"], json!([]));

    let mut told: Vec<(Value, Value)> = Vec::new();
    while !told.iter().any(|(_, id)| id == "12345") {
        let event = subscription.next().await;
        let event = &event["profileChanges"];
        told.push((event["change"]["kind"].clone(), event["profile"]["externalId"].clone()));
    }
    for wanted in [("CREATED", "123"), ("SUBPROFILE_CREATED", "123"), ("CREATED", "prof1"), ("CREATED", "12345")] {
        assert!(told.contains(&(json!(wanted.0), json!(wanted.1))), "{wanted:?} in {told:?}");
    }
    running.stop().await;
    simulator.stop().await;
});
