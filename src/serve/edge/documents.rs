//! Which document a request means: the one that it brings, a registered one, or one that was sent before.

use super::automatic::{Automatic, hash_of};
use super::registered::Registered;
use super::wire::Parameters;
use crate::config::{self, Role};
use crate::serve::Viewer;
use crate::serve::graphql::{Code, Fault};

/// The documents that requests may name.
pub(super) struct Documents {
    registered: Registered,
    automatic: Automatic,
    /// Readers run registered ones only.
    is_closed: bool,
}

/// The document of a request.
pub(super) struct Found {
    pub text: String,
    /// Keep it under this hash once it has proven to be GraphQL.
    new_hash: Option<String>,
}

impl Documents {
    pub fn new(registered: Registered, server: &config::Server) -> Self {
        Self { registered, automatic: Automatic::new(), is_closed: server.is_persisted_only() }
    }

    /// The document that a request means; takes the text out of it.
    pub fn find(&self, parameters: &mut Parameters, viewer: &Viewer) -> Result<Found, Fault> {
        // Operators work at a shell and in a console, with documents that nobody registers.
        let may_ask_freely = !self.is_closed || viewer.may(Role::Operator);
        if let Some(text) = parameters.query.take() {
            let hash = parameters.hash.take();
            if hash.as_ref().is_some_and(|hash| *hash != hash_of(&text)) {
                return Err(Fault::new(Code::BadUserInput, "persistedQuery: sha256Hash is not that of the query"));
            }
            if !may_ask_freely && !self.registered.holds(&text) {
                return Err(required());
            }
            return Ok(Found { text, new_hash: hash });
        }
        let hash = parameters.hash.as_deref();
        let known = parameters.document_id.as_deref().into_iter().chain(hash).find_map(|id| self.registered.find(id));
        let known = known.or_else(|| self.automatic.find(hash.filter(|_| may_ask_freely)?));
        match known {
            Some(text) => Ok(Found { text: text.to_string(), new_hash: None }),
            None if may_ask_freely => Err(not_found()),
            None => Err(required()),
        }
    }

    /// Keeps a document that came with its hash.
    pub fn keep(&self, found: &Found) {
        if let Some(hash) = &found.new_hash {
            self.automatic.keep(hash, &found.text);
        }
    }
}

/// Client libraries know it by this very text, and send the document.
fn not_found() -> Fault {
    Fault::new(Code::PersistedQueryNotFound, "PersistedQueryNotFound")
}

fn required() -> Fault {
    let text = "this service runs registered operations only: add this one to server.persisted_operations";
    Fault::new(Code::PersistedQueryRequired, text)
}
