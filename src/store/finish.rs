//! The statements that record outcomes.
//!
//! Promise: a statement changes a job only if it is `running` under the fence: id, claim number, worker. It returns the
//! attempts whose fence held. Other outcomes are stale, and change nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::session::Session;
use crate::error::Error;
use crate::job::{CheckedJson, JobId};
use crate::postgres::{Database, Limits, Param, Returned, Returns, Statement};
use crate::sql::sql;

/// Only the attempt with the current fence may write to its job. Each claim creates a new fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub id: JobId,
    pub claim: i32,
    pub worker: Uuid,
}

/// A failure as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub error: String,
    pub trace: Option<String>,
}

/// A job to be cancelled or discarded.
pub(crate) struct Finished<'f> {
    pub fence: Fence,
    /// `cancelled` or `discarded`.
    pub state: &'static str,
    pub retention_seconds: i64,
    pub failure: Option<&'f Failure>,
}

/// A job to be retried.
pub(crate) struct Retried<'f> {
    pub fence: Fence,
    pub delay_ms: i64,
    pub failure: &'f Failure,
}

/// Identifies an attempt of one worker: job id and claim number. An id alone may be assigned again after a failover.
pub(crate) type AttemptKey = (JobId, i32);

impl Fence {
    pub fn key(&self) -> AttemptKey {
        (self.id, self.claim)
    }
}

/// The limits of a statement that records outcomes.
const LIMITS: Limits = Limits { statement: Duration::from_secs(10), lock: Duration::from_secs(2) };

pub(crate) async fn open_session(database: &Database, direct: bool) -> Result<Session, Error> {
    Session::open(database, "finish", direct, sql!("finish/finish_session"), LIMITS).await
}

/// Moves completed jobs to the history. Returns those whose fence held.
pub(crate) async fn complete(
    session: &Session,
    fences: impl Iterator<Item = Fence>,
    retention_seconds: i64,
) -> Result<Vec<AttemptKey>, Error> {
    let fences = Fences::of(fences);
    let rows = session
        .query(
            sql!("finish/complete"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&retention_seconds, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

/// As [`complete`], with the outputs of the jobs.
pub(crate) async fn complete_with_output(
    session: &Session,
    jobs: &[(Fence, &CheckedJson)],
    retention_seconds: i64,
) -> Result<Vec<AttemptKey>, Error> {
    let fences = Fences::of(jobs.iter().map(|(fence, _)| *fence));
    let outputs: Vec<&CheckedJson> = jobs.iter().map(|(_, output)| *output).collect();
    let rows = session
        .query(
            sql!("finish/complete_with_output"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&retention_seconds, Type::INT8),
                (&outputs, Type::JSONB_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

/// Moves cancelled and discarded jobs to the history. Returns those whose fence held.
pub(crate) async fn finish(session: &Session, jobs: &[Finished<'_>]) -> Result<Vec<AttemptKey>, Error> {
    let fences = Fences::of(jobs.iter().map(|job| job.fence));
    let states: Vec<&str> = jobs.iter().map(|job| job.state).collect();
    let retentions: Vec<i64> = jobs.iter().map(|job| job.retention_seconds).collect();
    let errors: Vec<Option<&str>> = jobs.iter().map(|job| job.failure.map(|f| f.error.as_str())).collect();
    let traces: Vec<Option<&str>> = jobs.iter().map(|job| job.failure.and_then(|f| f.trace.as_deref())).collect();
    let rows = session
        .query(
            sql!("finish/finish"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&states, Type::TEXT_ARRAY),
                (&retentions, Type::INT8_ARRAY),
                (&errors, Type::TEXT_ARRAY),
                (&traces, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

/// Deletes completed jobs of which no history is kept. Returns those whose fence held.
pub(crate) async fn delete(session: &Session, fences: impl Iterator<Item = Fence>) -> Result<Vec<AttemptKey>, Error> {
    let fences = Fences::of(fences);
    let rows = session
        .query(
            sql!("finish/delete"),
            &[(&fences.ids, Type::INT8_ARRAY), (&fences.claims, Type::INT4_ARRAY), (&fences.workers, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

/// Completes one job in its handler's transaction.
pub(crate) fn complete_in(fence: Fence, retention_seconds: i64, output: Option<&CheckedJson>) -> Statement<'_> {
    let params = vec![
        Param::BigInteger(fence.id),
        Param::Integer(fence.claim),
        Param::Text(Some(fence.worker.to_string().into())),
        Param::BigInteger(retention_seconds),
        Param::Text(output.map(|output| output.as_str().into())),
    ];
    Statement::new(sql!("finish/complete_in"), params, Returns::Arrays)
}

/// The result of [`complete_in`]: whether the fence held.
pub(crate) fn is_completed(returned: &Returned) -> bool {
    returned.outcomes.as_ref().is_some_and(|outcomes| outcomes.iter().any(|outcome| outcome == "completed"))
}

/// Returns the attempts that have completed their jobs in transactions of their handlers.
pub(crate) async fn completed_in(session: &Session, fences: &[Fence]) -> Result<Vec<AttemptKey>, Error> {
    let fences = Fences::of(fences.iter().copied());
    let rows = session
        .query(
            sql!("finish/completed_in"),
            &[(&fences.ids, Type::INT8_ARRAY), (&fences.claims, Type::INT4_ARRAY), (&fences.workers, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

/// Returns the jobs that are locked.
pub(crate) async fn locked_jobs(session: &Session, ids: &[JobId]) -> Result<Vec<JobId>, Error> {
    let rows = session.query(sql!("finish/locked_jobs"), &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Retries failed jobs. Returns those whose fence held, with their due time.
pub(crate) async fn retry(session: &Session, jobs: &[Retried<'_>]) -> Result<Vec<(AttemptKey, DateTime<Utc>)>, Error> {
    let fences = Fences::of(jobs.iter().map(|job| job.fence));
    let delays: Vec<i64> = jobs.iter().map(|job| job.delay_ms).collect();
    let errors: Vec<&str> = jobs.iter().map(|job| job.failure.error.as_str()).collect();
    let traces: Vec<Option<&str>> = jobs.iter().map(|job| job.failure.trace.as_deref()).collect();
    let rows = session
        .query(
            sql!("finish/retry"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&delays, Type::INT8_ARRAY),
                (&errors, Type::TEXT_ARRAY),
                (&traces, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((attempt(row)?, row.try_get("run_at")?))).collect()
}

/// Snoozes jobs. The attempt is not counted. Returns the same as [`retry`].
pub(crate) async fn snooze(
    session: &Session,
    jobs: &[(Fence, i64)],
) -> Result<Vec<(AttemptKey, DateTime<Utc>)>, Error> {
    let fences = Fences::of(jobs.iter().map(|(fence, _)| *fence));
    let delays: Vec<i64> = jobs.iter().map(|(_, delay_ms)| *delay_ms).collect();
    let rows = session
        .query(
            sql!("finish/snooze"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&delays, Type::INT8_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((attempt(row)?, row.try_get("run_at")?))).collect()
}

/// Releases jobs, each due after a delay in ms. The attempt is not counted. Returns those whose fence held.
pub(crate) async fn release(session: &Session, jobs: &[(Fence, i64)]) -> Result<Vec<AttemptKey>, Error> {
    let fences = Fences::of(jobs.iter().map(|(fence, _)| *fence));
    let delays: Vec<i64> = jobs.iter().map(|(_, delay_ms)| *delay_ms).collect();
    let rows = session
        .query(
            sql!("finish/release"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&delays, Type::INT8_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(attempt).collect()
}

fn attempt(row: &Row) -> Result<AttemptKey, Error> {
    Ok((row.try_get("id")?, row.try_get("claim")?))
}

/// The fences of a batch as columns.
pub(super) struct Fences {
    pub ids: Vec<JobId>,
    pub claims: Vec<i32>,
    pub workers: Vec<Uuid>,
}

impl Fences {
    pub fn of(fences: impl Iterator<Item = Fence>) -> Self {
        let mut columns = Self { ids: Vec::new(), claims: Vec::new(), workers: Vec::new() };
        for fence in fences {
            columns.ids.push(fence.id);
            columns.claims.push(fence.claim);
            columns.workers.push(fence.worker);
        }
        columns
    }
}
