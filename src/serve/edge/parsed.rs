//! Documents that were parsed lately: a client asks the same ones again and again.

use super::shape::check_shape;
use crate::serve::graphql::{Code, Fault};
use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// A longer text is parsed each time, so that what is kept stays small.
const MAX_KEPT_BYTES: usize = 8 * 1024;

/// Parses documents, and keeps those that were asked for last.
pub(super) struct Parsed(Mutex<LruCache<Box<str>, Arc<ExecutableDocument>>>);

impl Default for Parsed {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Parsed {
    /// The document of a text, which is looked at before the parser sees it.
    pub fn read(&self, text: &str) -> Result<Arc<ExecutableDocument>, Fault> {
        if let Some(known) = self.kept().get(text) {
            return Ok(Arc::clone(known));
        }
        check_shape(text)?;
        let document = parse_query(text).map_err(|error| Fault::new(Code::ParseFailed, error.to_string()))?;
        let document = Arc::new(document);
        if text.len() <= MAX_KEPT_BYTES {
            self.kept().put(text.into(), Arc::clone(&document));
        }
        Ok(document)
    }

    fn kept(&self) -> MutexGuard<'_, LruCache<Box<str>, Arc<ExecutableDocument>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_parsed_once_while_it_is_kept() {
        let parsed = Parsed::default();
        let first = parsed.read("{ viewer { name } }").unwrap();
        assert!(Arc::ptr_eq(&first, &parsed.read("{ viewer { name } }").unwrap()));
        assert!(!Arc::ptr_eq(&first, &parsed.read("{ viewer { role } }").unwrap()));
        for other in 0..KEPT.get() {
            parsed.read(&format!("{{ a{other} }}")).unwrap();
        }
        assert!(!Arc::ptr_eq(&first, &parsed.read("{ viewer { name } }").unwrap()));
    }

    #[test]
    fn long_documents_and_refused_ones_are_not_kept() {
        let parsed = Parsed::default();
        let long = format!("{{ a # {} \n }}", "b".repeat(MAX_KEPT_BYTES));
        parsed.read(&long).unwrap();
        assert_eq!(parsed.read("{").unwrap_err().code, Code::ParseFailed);
        assert_eq!(parsed.kept().len(), 0);
    }
}
