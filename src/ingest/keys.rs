//! Signing keys from DNS.

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use provider::{KeyLookup, KeyLookupError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// Looks TXT records up with the machine's resolver. Answers are cached for their time to live.
#[derive(Default)]
pub struct DnsKeys {
    resolver: OnceCell<TokioResolver>,
}

impl DnsKeys {
    async fn resolver(&self) -> Result<&TokioResolver, KeyLookupError> {
        let unavailable = |error: &dyn std::fmt::Display| KeyLookupError::Unavailable(error.to_string());
        self.resolver
            .get_or_try_init(|| async {
                TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(|error| unavailable(&error))
            })
            .await
    }
}

impl KeyLookup for DnsKeys {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, KeyLookupError>> {
        Box::pin(async move {
            let lookup = self.resolver().await?.txt_lookup(format!("{}.", name.trim_end_matches('.')));
            let answer = tokio::time::timeout(DEADLINE, lookup)
                .await
                .map_err(|_| KeyLookupError::Unavailable("no answer within 3 s".to_owned()))?;
            let answer = answer.map_err(|error| {
                if error.is_no_records_found() {
                    KeyLookupError::NotFound
                } else {
                    KeyLookupError::Unavailable(error.to_string())
                }
            })?;
            let records = answer.answers().iter().filter_map(|record| match &record.data {
                RData::TXT(txt) => {
                    let joined: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
                    Some(String::from_utf8_lossy(&joined).into_owned())
                }
                _ => None,
            });
            Ok(records.collect())
        })
    }
}
