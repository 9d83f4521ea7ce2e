//! The only place that runs the application's SQL: one function for each file of
//! `sql/queries/app/`.
//!
//! Promises: values travel as typed parameters, never as text of a statement; no named statement
//! stays on the server, so all of it passes through a transaction pooler; each statement runs in
//! a transaction that limits its waits. Decides nothing: that is for its callers.

pub(super) mod files;
pub(super) mod idempotency;
pub(super) mod orphans;
pub(super) mod tablos;

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::types::Type;

use crate::Error;

/// The text of a statement in `sql/queries/app/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/app/", $name, ".sql"))
    };
}
use sql;

/// How long a statement of the transaction may run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// 30 s: somebody waits for the answer.
    Short,
    /// 5 min: a sweep, which may meet a tablo of very many files.
    Long,
}

/// Begins a transaction in which every wait has a limit: [`Patience`] for a statement, 5 s for
/// a lock.
pub(super) async fn begin(client: &mut Object, patience: Patience) -> Result<Transaction<'_>, Error> {
    let statement_timeout = match patience {
        Patience::Short => "30s",
        Patience::Long => "5min",
    };
    let tx = client.transaction().await?;
    tx.query_typed(sql!("limit_waits"), &[(&statement_timeout, Type::TEXT)]).await?;
    Ok(tx)
}
