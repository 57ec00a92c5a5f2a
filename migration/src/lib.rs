//! The database schema as sea-orm migrations, the same for SQLite and PostgreSQL.
