//! Idempotency keys: a repeated request gets the answer of the first one.
//!
//! Promises: a key identifies one request for 24 h. Of several concurrent requests, the first does the work and the
//! others wait for it, up to the lock timeout of their transactions. The answer commits in the transaction of the
//! work, so neither exists without the other.

use tokio_postgres::error::SqlState;

use super::store;
use crate::error::Error;
use crate::job::Enqueued;
use crate::postgres::LimitedTransaction;

/// The result of reserving a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// The key is new: do the work, then [`record`] the answer.
    New,
    /// The same request was answered before.
    Repeated {
        /// What it enqueued.
        enqueued: Enqueued,
        /// The body of its answer.
        response: String,
    },
    /// A different request used the key.
    Different,
    /// A request with the key is in progress. The transaction cannot be used any more.
    Busy,
}

/// Reserves `key` for a request until the transaction ends. Requests are compared as JSON values.
pub(crate) async fn reserve(tx: &LimitedTransaction, key: &str, request: &str) -> Result<Reservation, Error> {
    match store::idempotency::reserve_key(tx, key, request).await {
        Ok(true) => return Ok(Reservation::New),
        Ok(false) => {}
        Err(Error::Database(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            return Ok(Reservation::Busy);
        }
        Err(error) => return Err(error),
    }
    Ok(match store::idempotency::find_key(tx, key, request).await? {
        Some(used) if used.same_request => Reservation::Repeated { enqueued: used.enqueued, response: used.response },
        Some(_) => Reservation::Different,
        // The key expired and was deleted between the two statements: the next try reserves it.
        None => Reservation::Busy,
    })
}

/// Stores the answer under a reserved key, and deletes some expired keys.
pub(crate) async fn record(
    tx: &LimitedTransaction,
    key: &str,
    enqueued: Enqueued,
    response: &str,
) -> Result<(), Error> {
    // Sent together: one round trip.
    let recorded = store::idempotency::record_answer(tx, key, enqueued, response);
    let cleaned = store::idempotency::clean_keys(tx);
    let (recorded, cleaned) = tokio::join!(recorded, cleaned);
    recorded.and(cleaned)
}
