//! The network as a parameter: requests go out and answers come back through here, and nowhere else.

use crate::causes::chain;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use std::sync::Arc;
use std::time::Duration;

/// Largest answer that is taken, bytes.
const MAX_ANSWER: usize = 32 << 20;

/// Carries requests to upstream.
pub trait Wire: Send + Sync {
    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// [`WireError`]: no answer came, or only a part of one.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, WireError>>;
}

/// Why there is no answer: a sentence for the operator, without the address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WireError {
    /// It did not come in time.
    #[error("{0}")]
    TimedOut(String),
    /// Nobody answered.
    #[error("{0}")]
    Unreachable(String),
    /// It was cut.
    #[error("{0}")]
    Cut(String),
    /// It is larger than this, in bytes.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl WireError {
    /// A word for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TimedOut(_) => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Cut(_) => "cut",
            Self::TooLarge(_) => "too_large",
        }
    }

    fn of(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::TimedOut(without_url(error)) } else { Self::Unreachable(without_url(error)) }
    }
}

/// The internet. Redirects are not followed: they would carry the credential elsewhere.
pub struct HttpWire(reqwest::Client);

impl HttpWire {
    /// A client with the roots that ship with the service.
    ///
    /// # Errors
    /// A sentence, where the HTTP client cannot be built.
    pub fn open() -> Result<Arc<Self>, String> {
        let client = client_builder()?
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(15))
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .map_err(|error| format!("build the HTTP client: {error}"))?;
        Ok(Arc::new(Self(client)))
    }
}

/// An HTTP client to be: it trusts the roots that are built in, and says who we are.
///
/// # Errors
/// A sentence, where TLS cannot be set up.
pub fn client_builder() -> Result<reqwest::ClientBuilder, String> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("set up TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls);
    Ok(builder.user_agent(concat!("profile-mirror/", env!("CARGO_PKG_VERSION"))))
}

impl Wire for HttpWire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, WireError>> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(WireError::of)?;
            let mut response = self.0.execute(request).await.map_err(WireError::of)?;
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = std::mem::take(response.headers_mut());
            *answer.body_mut() = read_bounded(response).await?.into();
            Ok(answer)
        })
    }
}

/// Errors of the client carry the URL, and a URL can carry what nobody should log.
fn without_url(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

async fn read_bounded(mut response: reqwest::Response) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                return Err(WireError::TooLarge(MAX_ANSWER));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(WireError::Cut(format!("the answer was cut: {}", without_url(error)))),
        }
    }
}
