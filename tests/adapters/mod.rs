//! Each provider's adapter against the simulator, without a database: both were written from the
//! same documents by different hands, and share no code.

mod calls;
mod folded;
mod pages;
mod webhooks;

use crate::support::world::{self, PublishedKeys};
use profile_mirror::config::Keys;
use provider::{Provider, SourceSettings};
use simulator::{ProviderKind, Simulator};
use std::future::Future;
use std::sync::Arc;

/// The adapter of a provider, configured as the service would.
pub fn adapter(simulator: &Simulator, kind: ProviderKind) -> Arc<dyn Provider> {
    let source = world::source(simulator, kind);
    let reveal = |secret: &profile_mirror::config::Secret| secret.reveal().unwrap();
    let (public_keys, fixed_keys) = match source.webhook.keys {
        Keys::List(list) => (list, Default::default()),
        Keys::Named(named) => (Vec::new(), named),
    };
    let settings = SourceSettings {
        name: source.name,
        base_url: source.base_url,
        auth_url: source.auth_url,
        time_zone: source.time_zone,
        tenant: source.tenant,
        public_keys,
        fixed_keys,
        key_domain: source.webhook.key_domain,
        account: source.webhook.account,
        allow_v1: source.webhook.allow_v1,
        tolerance_seconds: source.webhook.tolerance_seconds,
        secrets: source.webhook.secrets.iter().map(reveal).collect(),
    };
    let built = provider::registry::build(kind.slug(), settings, PublishedKeys::of(simulator));
    built.expect("it is registered").expect("it is configured")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}
