//! Copernica.
