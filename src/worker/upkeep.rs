//! Upkeep of the history: partitions are made ahead and dropped once their day is over.
//!
//! One worker at a time does it, told by a lock that lives on a connection opened for the purpose.
//! Partitions are detached concurrently, so that neither readers nor writers wait.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::Error;
use crate::database::within;
use crate::store::history;

/// How often partitions are looked at.
const ROUND: Duration = Duration::from_hours(1);
/// The first look, spread so that a fleet does not look at once.
const FIRST_ROUND_WITHIN: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_mins(5);

/// Makes the partitions that are needed now and in the next days.
pub(super) async fn make_partitions(shared: &Shared) -> Result<(), Error> {
    for day in history::partitions_to_make(&shared.database, shared.settings.retention.days_ahead()).await? {
        history::make_partition(&shared.database, day).await?;
    }
    Ok(())
}

/// Keeps the history until stopped.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut wait = FIRST_ROUND_WITHIN.mul_f64(fastrand::f64());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = ROUND;
        let kept = tokio::select! {
            () = stop.cancelled() => return,
            kept = within(TIMEOUT, keep_history(&shared)) => kept,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "history not kept; trying again in an hour");
        }
    }
}

async fn keep_history(shared: &Shared) -> Result<(), Error> {
    make_partitions(shared).await?;
    let (client, connection) = shared.database.connect_listen("upkeep").await?;
    tokio::spawn(connection);
    // Through a pooler the lock would outlast its use. Without it two workers may meet, and one tries again.
    if shared.lease.holds_lock() && !history::try_upkeep_lock(&client, "history").await? {
        return Ok(());
    }
    for partition in history::expired_partitions(&client).await? {
        if partition.attached {
            history::detach(&client, &partition).await?;
        }
        history::drop_partition(&client, &partition.name).await?;
        tracing::info!(partition = partition.name.as_str(), "history partition dropped");
    }
    Ok(())
}
