//! The only place that runs the application's SQL: one function per file of `sql/queries/app/`.
//!
//! Promises: values are typed parameters, never part of a statement's text. It uses no prepared statements, so it
//! works through a transaction pooler. Each statement runs in a transaction with time limits. It makes no decisions.

pub(super) mod files;
pub(super) mod idempotency;
pub(super) mod orphans;
pub(super) mod tablos;

use std::time::Duration;

use crate::error::Error;
use crate::postgres::Database;
use crate::postgres::{LimitedTransaction, Limits};

/// The text of a statement in `sql/queries/app/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/app/", $name, ".sql"))
    };
}
use sql;

/// The statement timeout.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// 30 s: for requests, because a client waits.
    Short,
    /// 5 min: for the cleanup, because a tablo may have very many files.
    Long,
}

/// The lock timeout of a statement.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Begins a transaction with time limits: [`Patience`] for a statement, 5 s for a lock.
pub(super) async fn begin(database: &Database, patience: Patience) -> Result<LimitedTransaction, Error> {
    let statement = match patience {
        Patience::Short => Duration::from_secs(30),
        Patience::Long => Duration::from_mins(5),
    };
    database.begin(Limits { statement, lock: LOCK_PATIENCE }).await
}
