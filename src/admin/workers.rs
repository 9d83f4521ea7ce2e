//! The worker processes.
//!
//! Read only.

use crate::error::Error;
use crate::job::WorkerRecord;
use crate::postgres::Queryable;
use crate::store;

/// The worker processes, the oldest first. A dead one is in the list until another worker has rescued its jobs.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// for worker in postrider::admin::workers(&client).await?.iter().filter(|worker| !worker.live) {
///     println!("{}:{} sent its last heartbeat at {}", worker.host, worker.pid, worker.heartbeat_at);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn workers(client: &impl Queryable) -> Result<Vec<WorkerRecord>, Error> {
    store::read::workers(client).await
}
