//! The mirror: the statements over its records.
//!
//! `read` is for serve and publish and never writes; `write` is for apply only, inside its transaction.
//! Deliberately absent: decisions, which belong to apply, and the shape of answers, which belongs to serve.

mod field;
pub mod read;
mod words;
pub(crate) mod write;

/// Lists of a few lengths only, so that the database keeps few prepared statements: padded with their own last
/// value to the next power of two.
fn padded<T: Clone>(values: &[T]) -> Vec<T> {
    let mut values = values.to_vec();
    if let Some(last) = values.last().cloned() {
        let length = values.len().next_power_of_two();
        values.resize(length, last);
    }
    values
}
