//! The tables of the mirror as sea-orm models, one file a table.
