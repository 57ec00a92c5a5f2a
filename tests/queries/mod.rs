//! Filters, orders, search and where values come from, the same on both databases.

mod faults;
mod filters;
mod indexes;
mod mirror;
mod orders;
mod provenance;
mod search;
