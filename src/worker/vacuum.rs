//! Vacuum of the table of unfinished jobs, by work done.
//!
//! Each job leaves dead rows behind, and autovacuum comes by once a minute at most: at 50,000 jobs a
//! second the table would grow by a gigabyte in between. So a worker that has finished many jobs
//! vacuums the table itself. Several at once do no harm: the second finds it locked and goes away.
//!
//! A role that does not own the table cannot; then Postgres only warns, and autovacuum remains.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::Error;
use crate::database::within;
use crate::store::history;

/// After how many attempts of this worker.
const AFTER: u64 = 500_000;
/// How often to look how many there were.
const LOOK: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_mins(10);

/// Vacuums until stopped.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut done = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let claimed = shared.metrics.claimed();
        if claimed - done < AFTER {
            continue;
        }
        let vacuumed = tokio::select! {
            () = stop.cancelled() => return,
            vacuumed = within(TIMEOUT, vacuum(&shared)) => vacuumed,
        };
        // Counted from its end, so that it is not always under way.
        done = shared.metrics.claimed();
        if let Err(error) = vacuumed {
            tracing::warn!(%error, "the table of jobs could not be vacuumed");
        }
    }
}

async fn vacuum(shared: &Shared) -> Result<(), Error> {
    let (client, connection) = shared.database.connect_listen("vacuum").await?;
    tokio::spawn(connection);
    history::vacuum_jobs(&client).await
}
