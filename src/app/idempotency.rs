//! Keys that make a repeated request give the answer of the first.
//!
//! Promises: within 24 h one key stands for one request; of many that come at once the first does
//! the work and the others wait for it, at most 5 s; the answer is kept in the transaction that
//! did the work, so that there is never one without the other.

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::error::SqlState;

use super::store::{self, Patience};
use crate::{Error, JobId};

/// What became of a wish to use a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reservation {
    /// The key is this request's: do the work, then [`record`] the answer.
    New,
    /// The same request came before: this was its answer.
    Repeated {
        /// The job it added.
        job_id: JobId,
        /// The body of its answer.
        response: String,
    },
    /// Another request used the key.
    Different,
    /// A request with the key is still being handled. The transaction is of no more use.
    Busy,
}

/// Begins the transaction that takes a key, does the work and records the answer.
pub(crate) async fn begin(client: &mut Object) -> Result<Transaction<'_>, Error> {
    store::begin(client, Patience::Short).await
}

/// Takes `key` for a request, told by its bytes, until the transaction ends.
pub(crate) async fn reserve(tx: &Transaction<'_>, key: &str, request: &[u8]) -> Result<Reservation, Error> {
    match store::idempotency::reserve_key(tx, key, request).await {
        Ok(true) => return Ok(Reservation::New),
        Ok(false) => {}
        Err(Error::Database(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            return Ok(Reservation::Busy);
        }
        Err(error) => return Err(error),
    }
    Ok(match store::idempotency::find_key(tx, key, request).await? {
        Some(used) if used.same_request => Reservation::Repeated { job_id: used.job_id, response: used.response },
        Some(_) => Reservation::Different,
        // It expired and was cleaned away between the two statements: the next try gets it.
        None => Reservation::Busy,
    })
}

/// Keeps the answer under a key just taken, and removes some that have expired.
pub(crate) async fn record(tx: &Transaction<'_>, key: &str, job_id: JobId, response: &str) -> Result<(), Error> {
    // Sent together: one round trip.
    let recorded = store::idempotency::record_answer(tx, key, job_id, response);
    let cleaned = store::idempotency::clean_keys(tx);
    let (recorded, cleaned) = tokio::join!(recorded, cleaned);
    recorded.and(cleaned)
}
