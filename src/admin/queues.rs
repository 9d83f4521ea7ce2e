//! The queues and their settings.
//!
//! Promise: the cost grows with the number of queues and workers, not with that of the jobs. Read only.

use crate::error::Error;
use crate::job::QueueRecord;
use crate::postgres::Queryable;
use crate::store;

/// Every queue that has unfinished jobs, workers or settings, by name.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// for queue in postrider::admin::queues(&client).await? {
///     if queue.workers == 0 {
///         println!("nobody serves {}", queue.queue);
///     }
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn queues(client: &impl Queryable) -> Result<Vec<QueueRecord>, Error> {
    store::read::queues(client).await
}
