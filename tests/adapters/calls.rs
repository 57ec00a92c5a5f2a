//! Carries out an adapter's calls, as plainly as can be.

use crate::support::world;
use provider::{Answer, Auth, Call, Method, Provider};
use simulator::{ProviderKind, Simulator};

/// A client with the source's credential.
pub struct Caller {
    client: reqwest::Client,
    base_url: String,
    token: String,
}

impl Caller {
    pub async fn new(simulator: &Simulator, kind: ProviderKind, adapter: &dyn Provider) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let source = world::source(simulator, kind);
        let mut token = source.token.unwrap().reveal().unwrap();
        if let Auth::ExchangedJwt { url } = adapter.auth() {
            let form = [("access_token", token.as_str())];
            let answer = client.post(url).form(&form).send().await.unwrap();
            assert_eq!(answer.status(), 200, "the token is exchanged");
            token = answer.text().await.unwrap();
        }
        Self { client, base_url: source.base_url, token }
    }

    /// The body and what the adapter makes of the answer.
    pub async fn call(&self, adapter: &dyn Provider, call: &Call) -> (Answer, Vec<u8>) {
        let url = format!("{}{}", self.base_url, call.path);
        let request = match call.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url),
        };
        let answer = request.query(&call.query).bearer_auth(&self.token).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.unwrap().to_vec();
        (adapter.classify(call, status, &headers, &body), body)
    }
}
