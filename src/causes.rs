//! Errors on their way into the log.

use std::error::Error;

/// An error and its causes in one line. A log in JSON holds only the first text of an error that is given as such.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let texts =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source()).map(ToString::to_string);
    texts.collect::<Vec<_>>().join(": ")
}
