//! Where the demo plays: three sources over the simulator, a SQLite file, one key.

use crate::config::{self, AccessKey, Config, Keys, Role, Secret, Source};
use simulator::{ProviderKind, Simulator};

/// The sources: name, and the provider behind it.
pub(super) const SOURCES: [(&str, ProviderKind); 3] =
    [("marketing", ProviderKind::Copernica), ("crm", ProviderKind::Parallel), ("people", ProviderKind::GetProfile)];

/// The configuration that an operator would write for them.
pub(super) fn configuration(simulator: &Simulator, database_url: &str, port: u16, key: &str) -> Config {
    let source = |name: &str, provider: &str, base_url: &str, token: &str| Source {
        name: name.to_owned(),
        provider: provider.to_owned(),
        base_url: base_url.to_owned(),
        auth_url: None,
        token: Some(Secret::Value(token.to_owned())),
        time_zone: None,
        tenant: None,
        filterable: Vec::new(),
        webhook: config::Webhook::default(),
        // The simulator takes any number.
        sync: config::Sync { requests_per_minute: Some(60_000), ..config::Sync::default() },
        drift: config::Drift::default(),
    };
    let (copernica, parallel, getprofile) = (simulator.copernica(), simulator.parallel(), simulator.getprofile());
    let mut marketing = source("marketing", "copernica", &copernica.base_url(), &copernica.token());
    marketing.auth_url = Some(copernica.auth_url());
    marketing.time_zone = Some("Europe/Amsterdam".to_owned());
    marketing.webhook.account = Some(copernica.account());
    marketing.webhook.key_domain = Some("copernica.com".to_owned());
    marketing.webhook.keys = Keys::Named(copernica.key_txt_records());
    let mut crm = source("crm", "parallel", &parallel.base_url(), &parallel.token());
    crm.webhook.keys = Keys::List(parallel.public_keys());
    let mut people = source("people", "getprofile", &getprofile.base_url(), &getprofile.api_key());
    people.tenant = Some(getprofile.tenant());
    people.webhook.secrets = vec![Secret::Value(getprofile.api_key())];

    let mut config = Config { sources: vec![marketing, crm, people], ..Config::default() };
    config.server.listen = format!("127.0.0.1:{port}");
    config.database.url = database_url.to_owned();
    let key = Secret::Value(key.to_owned());
    config.access.keys = vec![AccessKey { name: "demo".to_owned(), role: Role::Admin, key }];
    config
}
