//! The lock by which those who add jobs know whether somebody is idle. Nothing here waits for it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::sql;
use crate::Error;

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This session holds the lock.
    Held,
    /// Another session does.
    Covered,
    /// Somebody adds jobs without a notification.
    Refused,
}

/// Which lock a queue has: some queues share one.
pub(crate) type IdleKey = i32;

/// Tries for the lock of each queue.
pub(crate) async fn try_idle_lock(client: &Client, queues: &[&str]) -> Result<Vec<(IdleKey, Answer)>, Error> {
    let rows = client.query_typed(sql!("try_idle_lock"), &[(&queues, Type::TEXT_ARRAY)]).await?;
    rows.iter()
        .map(|row| {
            let answer = match row.try_get("standing")? {
                "held" => Answer::Held,
                "covered" => Answer::Covered,
                _ => Answer::Refused,
            };
            Ok((row.try_get("key")?, answer))
        })
        .collect()
}

/// Lets go of the lock of each queue and tells the others.
pub(crate) async fn release_idle_lock(client: &Client, queues: &[&str]) -> Result<(), Error> {
    client.query_typed(sql!("release_idle_lock"), &[(&queues, Type::TEXT_ARRAY)]).await?;
    Ok(())
}
