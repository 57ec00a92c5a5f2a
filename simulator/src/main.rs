//! The simulator as a program for people.
fn main() {}
