//! Measures how far the mirror was from upstream: what runs and sampled reads showed, against what was stored.
//!
//! In: the decisions on the observations of a full run's pages, of its sweep, and of reads by id. Out: digests of both
//! sides of the run, the records that differed by the names of their fields, an estimate between runs.
//! Guaranteed: what news explains is no drift, whether it came before or comes soon after; values are kept nowhere; no
//! statement a record. Deliberately absent: any say in what is mirrored. Repair is what a page or a fetch does anyway.
//!
//! `watch` notes what observations show, `compare` holds the digests against each other after the pages, `pace`
//! settles what was found once news can explain it no more, and asks for reads between runs.

mod compare;
mod pace;
mod watch;

pub(super) use compare::{Window, compare};
pub(super) use pace::Pace;
pub(super) use watch::{Find, Look, Note, Noted, Watch, Watching, tell_page};
