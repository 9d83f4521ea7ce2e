//! Stats per queue.
//!
//! Promise: a count stops at 10,000, so that no call reads millions of rows. Read only.

use crate::error::Error;
use crate::job::QueueStats;
use crate::postgres::Queryable;
use crate::store;

/// The stats of every queue that has jobs, workers or settings.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// for queue in postrider::admin::stats(&client).await? {
///     println!("{}: {} due, {} workers", queue.queue, queue.available.value, queue.workers);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn stats(client: &impl Queryable) -> Result<Vec<QueueStats>, Error> {
    store::read::stats(client).await
}
