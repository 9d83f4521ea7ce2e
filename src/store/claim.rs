//! Claiming due jobs.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::session::Session;
use super::sql;
use crate::job::{JobId, StoredJson};
use crate::{Database, Error};

/// A job that now belongs to the worker that claimed it.
pub(crate) struct ClaimedJob {
    pub id: JobId,
    pub queue: String,
    pub kind: String,
    pub args: String,
    pub attempt: i32,
    pub max_attempts: i32,
    pub claim: i32,
    pub cancel_requested: bool,
}

/// The answer to one claim.
pub(crate) struct Claimed {
    /// In the order in which they are to start.
    pub jobs: Vec<ClaimedJob>,
    /// The worker id that they were claimed under.
    pub worker: Uuid,
    /// The database's clock, in ms since 1970.
    pub database_ms: f64,
    /// In how many ms the next waiting job of the queues asked for is due.
    pub next_due_ms: Option<f64>,
}

pub(crate) async fn open_session(database: &Database, direct: bool) -> Result<Session, Error> {
    Session::open(database, "claim", direct, sql!("claim_session")).await
}

/// Claims from each queue at most its number of free slots.
pub(crate) async fn claim(
    session: &Session,
    worker: Uuid,
    kinds: &[&str],
    queues: &[&str],
    free_slots: &[i64],
) -> Result<Claimed, Error> {
    let rows = session
        .query(
            sql!("claim"),
            &[
                (&queues, Type::TEXT_ARRAY),
                (&free_slots, Type::INT8_ARRAY),
                (&kinds, Type::TEXT_ARRAY),
                (&worker, Type::UUID),
            ],
        )
        .await?;
    // RETURNING answers in the order of the pages, so the order of starting is made here.
    let mut jobs = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(job) = claimed_job(row)? {
            jobs.push(job);
        }
    }
    jobs.sort_unstable_by_key(|(order, _)| *order);
    let (database_ms, next_due_ms) = match rows.first() {
        Some(row) => (row.try_get("database_ms")?, row.try_get("next_due_ms")?),
        None => (0.0, None),
    };
    Ok(Claimed { jobs: jobs.into_iter().map(|(_, job)| job).collect(), worker, database_ms, next_due_ms })
}

/// Priority, due time, id.
type StartOrder = (i16, chrono::DateTime<chrono::Utc>, JobId);

fn claimed_job(row: &Row) -> Result<Option<(StartOrder, ClaimedJob)>, Error> {
    let Some(id) = row.try_get::<_, Option<JobId>>("id")? else {
        return Ok(None);
    };
    let StoredJson(args) = row.try_get("args")?;
    let job = ClaimedJob {
        id,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        args,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        claim: row.try_get("claim")?,
        cancel_requested: row.try_get("cancel_requested")?,
    };
    Ok(Some(((row.try_get("priority")?, row.try_get("run_at")?, id), job)))
}

/// After a claim whose answer was lost: returns what the database says the worker runs and
/// `held` does not name. Answers with how many.
pub(crate) async fn give_back_unheld(session: &Session, worker: Uuid, held: &[JobId]) -> Result<usize, Error> {
    let rows = session.query(sql!("give_back_unheld"), &[(&worker, Type::UUID), (&held, Type::INT8_ARRAY)]).await?;
    Ok(rows.len())
}

/// Which of the held jobs somebody asked to cancel.
pub(crate) async fn cancel_requests(database: &Database, worker: Uuid, held: &[JobId]) -> Result<Vec<JobId>, Error> {
    let rows = database
        .client()
        .await?
        .query_typed(sql!("cancel_requests"), &[(&held, Type::INT8_ARRAY), (&worker, Type::UUID)])
        .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}
