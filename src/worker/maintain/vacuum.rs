//! Vacuums the table of unfinished jobs, after a number of claimed jobs.
//!
//! Each job leaves dead rows, and autovacuum runs once a minute at most. At 50,000 jobs/s the table would grow by a
//! gigabyte in between. So a worker that has claimed 500,000 jobs vacuums the table itself.
//!
//! Promises: if another vacuum has locked the table, it is skipped. The table is not truncated, because that takes an
//! exclusive lock. A role that does not own the table cannot vacuum it. Then Postgres only warns, and autovacuum
//! remains.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::postgres::within;
use crate::store::history;
use crate::worker::handles::WorkerHandles;

/// The number of attempts of this worker after which it vacuums.
const AFTER: u64 = 500_000;
/// How often to check that number.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_mins(10);

/// Vacuums, for ever.
pub(in crate::worker) async fn run(handles: Arc<WorkerHandles>) {
    let mut done = 0;
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        if handles.metrics.claimed() - done < AFTER {
            continue;
        }
        if let Err(error) = within(TIMEOUT, vacuum(&handles)).await {
            tracing::warn!(%error, "the table job could not be vacuumed");
        }
        // Counted from the end of the vacuum, so that it is not always running.
        done = handles.metrics.claimed();
    }
}

async fn vacuum(handles: &WorkerHandles) -> Result<(), Error> {
    let (client, connection) = handles.database.connect_direct("vacuum").await?;
    tokio::spawn(connection);
    if handles.is_direct() {
        history::limit_maintenance(&client).await?;
    }
    history::vacuum_jobs(&handles.database.schema().on(&client)).await
}
