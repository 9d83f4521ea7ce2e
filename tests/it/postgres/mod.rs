//! Reaching Postgres.

mod connections;
mod error_sources;
mod lent_pool;
pub mod pooler;
mod statement_limits;
