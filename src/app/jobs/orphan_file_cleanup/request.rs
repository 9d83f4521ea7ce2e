//! Asking for a cleanup, in the transaction that makes the orphan.

use std::time::Duration;

use deadpool_postgres::Transaction;

use super::OrphanFileCleanup;
use crate::Error;
use crate::app::store::orphans::cleanup_request;

/// Enqueues a cleanup for after the grace, unless one is waiting that will do. To be the last
/// statement before the commit: a cleanup that begins waits for it.
pub(crate) async fn request_cleanup(tx: &Transaction<'_>, grace: Duration) -> Result<(), Error> {
    let request = cleanup_request(tx, grace.as_secs_f64()).await?;
    let key = format!("orphan_file_cleanup/{}/{}", request.generation, request.due.timestamp());
    let cleanup = OrphanFileCleanup { stamped_only: true, ..OrphanFileCleanup::default() };
    crate::enqueue(tx, &cleanup).run_at(request.due).unique_key(&key).await?;
    Ok(())
}
