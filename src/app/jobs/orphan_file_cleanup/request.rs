//! Requests for a cleanup, in the transaction that makes the orphan.

use std::time::Duration;

use super::OrphanFileCleanup;
use crate::app::store::orphans::cleanup_request;
use crate::error::Error;
use crate::postgres::LimitedTransaction;

/// Enqueues a cleanup that is due after the grace, unless an equivalent one is enqueued already. Must be the last
/// statement before the commit: a starting cleanup waits for this transaction.
pub(crate) async fn request_cleanup(tx: &LimitedTransaction, grace: Duration) -> Result<(), Error> {
    let request = cleanup_request(tx, grace.as_secs_f64()).await?;
    let key = format!("orphan_file_cleanup/{}/{}", request.generation, request.due.timestamp());
    let cleanup = OrphanFileCleanup { stamped_only: true, ..OrphanFileCleanup::default() };
    crate::enqueue(tx, &cleanup).run_at(request.due).unique_key(&key).await?;
    Ok(())
}
