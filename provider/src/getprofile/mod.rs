//! GetProfile.
