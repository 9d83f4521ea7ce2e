//! The history's partitions: created ahead of time, dropped once their day is over.
//!
//! Promises: one worker at a time drops partitions, under a lock on a connection opened for the purpose. Through a
//! pooler there is no lock: a worker that collides with another tries again an hour later. Partitions are detached
//! concurrently, so that neither readers nor writers wait. No row is deleted.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::postgres::{Schema, within};
use crate::store::history;
use crate::worker::handles::WorkerHandles;

/// How often to check the partitions.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);
/// The first check is at a random time within this, so that a fleet does not check at once.
const FIRST_CHECK_WITHIN: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_mins(5);

/// The advice for a worker whose role lacks rights.
pub(in crate::worker) fn missing_privilege_hint(error: &Error, schema: &Schema) -> Option<String> {
    error.lacks_privilege().then(|| {
        format!(
            "its role lacks the rights: run `worker roles | psql` as the owner of the schema and make the role a member \
             of {schema}_worker, or let the owner run a worker"
        )
    })
}

/// Makes the partitions that are needed now and in the next days.
pub(in crate::worker) async fn make_partitions(handles: &WorkerHandles) -> Result<(), Error> {
    for day in history::partitions_to_make(&handles.database, handles.config.retention.days_ahead()).await? {
        if let Err(error) = history::make_partition(&handles.database, day).await {
            let partition = format!("job_history_{}", day.format("%Y%m%d"));
            let advice = missing_privilege_hint(&error, handles.database.schema());
            tracing::error!(partition, %error, advice, "history partition not made: jobs that expire on its day cannot finish");
            return Err(error);
        }
    }
    Ok(())
}

/// The same at the start of a worker. Without the rights it works on while there are partitions.
pub(in crate::worker) async fn make_first_partitions(handles: &WorkerHandles) -> Result<(), Error> {
    match make_partitions(handles).await {
        Err(error) if error.lacks_privilege() => Ok(()),
        made => made,
    }
}

/// Maintains the history, for ever.
pub(in crate::worker) async fn run(handles: Arc<WorkerHandles>) {
    let mut wait = FIRST_CHECK_WITHIN.mul_f64(fastrand::f64());
    loop {
        tokio::time::sleep(wait).await;
        if let Err(error) = within(TIMEOUT, keep_history(&handles)).await {
            let advice = missing_privilege_hint(&error, handles.database.schema());
            tracing::warn!(%error, advice, "history not maintained; trying again in an hour");
        }
        wait = CHECK_INTERVAL;
    }
}

async fn keep_history(handles: &WorkerHandles) -> Result<(), Error> {
    make_partitions(handles).await?;
    let (client, connection) = handles.database.connect_direct("partitions").await?;
    tokio::spawn(connection);
    if handles.is_direct() {
        history::limit_maintenance(&client).await?;
    }
    let client = handles.database.schema().on(&client);
    // Through a pooler the lock would outlast its use. Without the lock two workers may meet, and one tries again.
    if handles.lease.holds_lock() && !history::try_maintenance_lock(&client, "history").await? {
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
