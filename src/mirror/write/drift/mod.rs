//! What pages and sampled reads showed of records, and which of those differed from the mirror.
//!
//! In: what apply saw on a page, in a sweep or in the answer to a read. Out: the rows of its measure. Guaranteed:
//! values are kept nowhere; what was shown is a number a row, and a difference is told by the names of fields.
//! Deliberately absent: when news explains a find, which apply decides.
//!
//! `shown` is what pages showed, `measure` what a run comes to, `finds` the records that a delivery showed to differ,
//! `differences` those that are told one by one. `draw` chooses profiles for `samples`; `awaited` is what is open.

mod awaited;
mod differences;
mod draw;
mod finds;
mod measure;
mod samples;
mod shown;

pub(crate) use awaited::{Awaited, has_awaited, load_awaited};
pub(crate) use differences::{Differing, write_remaining, write_repair};
pub(crate) use draw::{Drawn, draw_profiles};
pub(crate) use finds::{Place, load_due_find, load_told_about, profiles_of, settle_find, write_find};
pub(crate) use measure::{is_measured, load_drift_run, write_comparison};
pub(crate) use samples::{
    has_requests, load_last_sample_at, load_quiet_since, prune_samples, settle_sample, write_samples,
};
pub(crate) use shown::{PageDrift, Shown, load_shown};
