//! What the mirror knows about each provider: verify, decode, pull. No database, no server.
