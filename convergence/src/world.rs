//! The simulated world, and how its three providers are configured as sources.

use futures::future::BoxFuture;
use profile_mirror::config::{Keys, Secret, Source, Webhook};
use provider::{KeyLookup, KeyLookupError};
use simulator::{CopernicaSim, ProviderKind, Simulator, SimulatorOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The source that mirrors each provider.
pub const SOURCES: [(ProviderKind, &str); 3] =
    [(ProviderKind::Copernica, "marketing"), (ProviderKind::Parallel, "crm"), (ProviderKind::GetProfile, "people")];

/// Name of the source that mirrors a provider.
pub fn source_of(provider: ProviderKind) -> &'static str {
    SOURCES.iter().find(|(kind, _)| *kind == provider).map(|(_, name)| *name).expect("each provider has a source")
}

/// Starts a world of about `profiles` profiles.
pub async fn start(seed: u64, profiles: usize) -> Simulator {
    let options = SimulatorOptions { seed, profiles, ..SimulatorOptions::default() };
    Simulator::start(options).await.expect("start the simulator")
}

/// The configuration of the source that mirrors a provider.
pub fn source(simulator: &Simulator, provider: ProviderKind) -> Source {
    let (copernica, parallel, getprofile) = (simulator.copernica(), simulator.parallel(), simulator.getprofile());
    let (base_url, token) = match provider {
        ProviderKind::Copernica => (copernica.base_url(), copernica.token()),
        ProviderKind::Parallel => (parallel.base_url(), parallel.token()),
        ProviderKind::GetProfile => (getprofile.base_url(), getprofile.api_key()),
    };
    let mut source = Source {
        name: source_of(provider).to_owned(),
        provider: provider.slug().to_owned(),
        base_url,
        auth_url: None,
        token: Some(Secret::Value(token)),
        time_zone: None,
        tenant: None,
        filterable: Vec::new(),
        webhook: Webhook::default(),
        // The simulated providers take any number, unless a test has them count.
        sync: profile_mirror::config::Sync { requests_per_minute: Some(60_000), ..Default::default() },
        // Reads at random would stand in the way of tests that count requests.
        drift: profile_mirror::config::Drift { reads_per_hour: 0 },
    };
    match provider {
        ProviderKind::Copernica => {
            source.auth_url = Some(copernica.auth_url());
            source.time_zone = Some("Europe/Amsterdam".to_owned());
            source.webhook.account = Some(copernica.account());
            source.webhook.keys = Keys::Named(BTreeMap::new());
        }
        ProviderKind::Parallel => source.webhook.keys = Keys::List(parallel.public_keys()),
        ProviderKind::GetProfile => {
            source.tenant = Some(getprofile.tenant());
            source.webhook.secrets = vec![Secret::Value(getprofile.api_key())];
        }
    }
    source
}

/// Where the mirror names a thing by another of its upstream names than the truth does.
pub struct Terms {
    tenant: Option<String>,
}

impl Terms {
    /// The terms of a provider.
    pub fn of(simulator: &Simulator, provider: ProviderKind) -> Self {
        Self { tenant: (provider == ProviderKind::GetProfile).then(|| simulator.getprofile().tenant()) }
    }

    /// External id of a profile type: GetProfile's one type is its tenant.
    pub fn profile_type<'a>(&'a self, truth: &'a str) -> &'a str {
        self.tenant.as_deref().unwrap_or(truth)
    }
}

/// Answers from the TXT records that the simulated Copernica publishes.
pub struct PublishedKeys(pub CopernicaSim);

impl PublishedKeys {
    /// The lookup for a world.
    pub fn of(simulator: &Simulator) -> Arc<dyn KeyLookup> {
        Arc::new(Self(simulator.copernica().clone()))
    }
}

impl KeyLookup for PublishedKeys {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, KeyLookupError>> {
        let found = self.0.key_txt_records().remove(name).map(|text| vec![text]);
        Box::pin(std::future::ready(found.ok_or(KeyLookupError::NotFound)))
    }
}
