//! The statements of the idle lock. None of them waits.

use tokio_postgres::types::Type;

use crate::error::Error;
use crate::postgres::{Queryable, Statements};
use crate::sql::sql;

/// The result of [`try_idle_lock`] for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TryIdleLock {
    /// This session holds the lock.
    Acquired,
    /// Another session holds it.
    HeldByPeer,
    /// An enqueue's open transaction holds its shared form.
    Contended,
}

/// The key of a queue's lock. Queues may share a key.
pub(crate) type IdleKey = i32;

/// Tries to acquire the lock of each queue.
pub(crate) async fn try_idle_lock(
    client: &impl Queryable,
    queues: &[&str],
) -> Result<Vec<(IdleKey, TryIdleLock)>, Error> {
    let rows =
        Statements::on(client).query_typed(sql!("idle_lock/try_idle_lock"), &[(&queues, Type::TEXT_ARRAY)]).await?;
    rows.iter()
        .map(|row| {
            let outcome = match row.try_get("outcome")? {
                "acquired" => TryIdleLock::Acquired,
                "held_by_peer" => TryIdleLock::HeldByPeer,
                _ => TryIdleLock::Contended,
            };
            Ok((row.try_get("key")?, outcome))
        })
        .collect()
}

/// Releases the lock of each queue and notifies the other workers.
pub(crate) async fn release_idle_lock(client: &impl Queryable, queues: &[&str]) -> Result<(), Error> {
    Statements::on(client).query_typed(sql!("idle_lock/release_idle_lock"), &[(&queues, Type::TEXT_ARRAY)]).await?;
    Ok(())
}
