//! Keys that make a repeated request give the answer of the first.
//!
//! Promises: within 24 h one key stands for one request; of many that come at once the first does
//! the work and the others wait for it, at most 10 s; the answer is kept in the transaction that
//! did the work, so that there is never one without the other.
//!
//! The only place that runs the statements `sql/queries/app/idempotency_*.sql`.

use tokio_postgres::GenericClient;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::database::InTransaction;
use crate::{Error, JobId};

/// How long a request waits for another one with the same key, as Postgres reads it.
const WAIT: &str = "10s";

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/app/", $name, ".sql"))
    };
}

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
    /// Another request with the key is still being handled. The transaction is of no more use.
    Busy,
}

/// Takes `key` for a request, told by its bytes, until the transaction ends.
pub(crate) async fn reserve(tx: &impl InTransaction, key: &str, request: &[u8]) -> Result<Reservation, Error> {
    // Sent together: one round trip.
    let limited = async { tx.raw().query_typed(sql!("idempotency_limit_wait"), &[(&WAIT, Type::TEXT)]).await };
    let reserved = async {
        let params = [(&key as _, Type::TEXT), (&request as _, Type::BYTEA)];
        tx.raw().query_typed_opt(sql!("idempotency_reserve"), &params).await
    };
    let (limited, reserved) = tokio::join!(limited, reserved);
    limited?;
    match reserved {
        Ok(Some(_)) => Ok(Reservation::New),
        Ok(None) => find(tx, key, request).await,
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(Reservation::Busy),
        Err(error) => Err(error.into()),
    }
}

async fn find(tx: &impl InTransaction, key: &str, request: &[u8]) -> Result<Reservation, Error> {
    let params = [(&key as _, Type::TEXT), (&request as _, Type::BYTEA)];
    let Some(row) = tx.raw().query_typed_opt(sql!("idempotency_find"), &params).await? else {
        // It expired and was cleaned away between the two statements: the next try gets it.
        return Ok(Reservation::Busy);
    };
    if !row.try_get("same_request")? {
        return Ok(Reservation::Different);
    }
    Ok(Reservation::Repeated { job_id: row.try_get("job_id")?, response: row.try_get("response")? })
}

/// Keeps the answer under a key just taken, and removes some that have expired.
pub(crate) async fn record(tx: &impl InTransaction, key: &str, job_id: JobId, response: &str) -> Result<(), Error> {
    let recorded = async {
        let params = [(&key as _, Type::TEXT), (&job_id as _, Type::INT8), (&response as _, Type::TEXT)];
        tx.raw().query_typed(sql!("idempotency_record"), &params).await
    };
    let cleaned = async { tx.raw().query_typed(sql!("idempotency_clean"), &[]).await };
    let (recorded, cleaned) = tokio::join!(recorded, cleaned);
    recorded?;
    cleaned?;
    Ok(())
}
