//! Recording what became of attempts: only for those whose fence still holds.

use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::session::{Params, Session};
use super::sql;
use crate::job::JobId;
use crate::{Database, Error};

/// The one attempt that may write about a job: a later claim of it, by anyone, has another fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub id: JobId,
    pub claim: i32,
    pub worker: Uuid,
}

/// The failure of an attempt, as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub error: String,
    pub trace: Option<String>,
}

/// A job that is done with.
pub(crate) struct Finished<'f> {
    pub fence: Fence,
    /// completed, cancelled or discarded.
    pub state: &'static str,
    pub retention_seconds: i64,
    pub failure: Option<&'f Failure>,
}

/// A job that is to be tried again.
pub(crate) struct Retried<'f> {
    pub fence: Fence,
    pub delay_ms: i64,
    pub failure: &'f Failure,
}

pub(crate) async fn open_session(database: &Database, direct: bool) -> Result<Session, Error> {
    Session::open(database, "finish", direct, sql!("finish_session")).await
}

/// Moves jobs to history. Answers with those whose fence held.
pub(crate) async fn finish(session: &Session, jobs: &[Finished<'_>]) -> Result<Vec<JobId>, Error> {
    let fences = Fences::of(jobs.iter().map(|job| job.fence));
    let states: Vec<&str> = jobs.iter().map(|job| job.state).collect();
    let retentions: Vec<i64> = jobs.iter().map(|job| job.retention_seconds).collect();
    let errors: Vec<Option<&str>> = jobs.iter().map(|job| job.failure.map(|f| f.error.as_str())).collect();
    let traces: Vec<Option<&str>> = jobs.iter().map(|job| job.failure.and_then(|f| f.trace.as_deref())).collect();
    let rows = session
        .query(
            sql!("finish"),
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
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Completes one job in the transaction of its handler. Answers whether its fence held.
pub(crate) async fn complete_in<C: GenericClient>(tx: &C, fence: Fence, retention_seconds: i64) -> Result<bool, Error> {
    let (ids, claims, workers) = ([fence.id], [fence.claim], [fence.worker]);
    let rows = tx
        .query_typed(
            sql!("finish"),
            &[
                (&&ids[..], Type::INT8_ARRAY),
                (&&claims[..], Type::INT4_ARRAY),
                (&&workers[..], Type::UUID_ARRAY),
                (&&["completed"][..], Type::TEXT_ARRAY),
                (&&[retention_seconds][..], Type::INT8_ARRAY),
                (&&[None::<&str>][..], Type::TEXT_ARRAY),
                (&&[None::<&str>][..], Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// As [`completed_in`], as the transaction `tx` sees it.
pub(crate) async fn is_completed_in<C: GenericClient>(tx: &C, fence: Fence) -> Result<bool, Error> {
    let (ids, claims, workers) = ([fence.id], [fence.claim], [fence.worker]);
    let params: Params<'_> =
        &[(&&ids[..], Type::INT8_ARRAY), (&&claims[..], Type::INT4_ARRAY), (&&workers[..], Type::UUID_ARRAY)];
    Ok(!tx.query_typed(sql!("completed_in"), params).await?.is_empty())
}

/// Which of the jobs were completed by these attempts in transactions of their handlers.
pub(crate) async fn completed_in(session: &Session, fences: &[Fence]) -> Result<Vec<JobId>, Error> {
    let fences = Fences::of(fences.iter().copied());
    let rows = session
        .query(
            sql!("completed_in"),
            &[(&fences.ids, Type::INT8_ARRAY), (&fences.claims, Type::INT4_ARRAY), (&fences.workers, Type::UUID_ARRAY)],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Which of the jobs somebody else has locked.
pub(crate) async fn locked_jobs(session: &Session, ids: &[JobId]) -> Result<Vec<JobId>, Error> {
    let rows = session.query(sql!("locked_jobs"), &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Puts failed jobs back. Answers with those whose fence held and when they are due.
pub(crate) async fn retry(session: &Session, jobs: &[Retried<'_>]) -> Result<Vec<(JobId, DateTime<Utc>)>, Error> {
    let fences = Fences::of(jobs.iter().map(|job| job.fence));
    let delays: Vec<i64> = jobs.iter().map(|job| job.delay_ms).collect();
    let errors: Vec<&str> = jobs.iter().map(|job| job.failure.error.as_str()).collect();
    let traces: Vec<Option<&str>> = jobs.iter().map(|job| job.failure.trace.as_deref()).collect();
    let rows = session
        .query(
            sql!("retry"),
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
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("run_at")?))).collect()
}

/// Puts jobs back for later with their attempt unspent. Answers as [`retry`].
pub(crate) async fn snooze(session: &Session, jobs: &[(Fence, i64)]) -> Result<Vec<(JobId, DateTime<Utc>)>, Error> {
    let fences = Fences::of(jobs.iter().map(|(fence, _)| *fence));
    let delays: Vec<i64> = jobs.iter().map(|(_, delay_ms)| *delay_ms).collect();
    let rows = session
        .query(
            sql!("snooze"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&delays, Type::INT8_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("run_at")?))).collect()
}

/// Returns jobs, due after a delay in ms, with their attempt unspent. Answers with those whose fence held.
pub(crate) async fn give_back(session: &Session, jobs: &[(Fence, i64)]) -> Result<Vec<JobId>, Error> {
    let fences = Fences::of(jobs.iter().map(|(fence, _)| *fence));
    let delays: Vec<i64> = jobs.iter().map(|(_, delay_ms)| *delay_ms).collect();
    let rows = session
        .query(
            sql!("give_back"),
            &[
                (&fences.ids, Type::INT8_ARRAY),
                (&fences.claims, Type::INT4_ARRAY),
                (&fences.workers, Type::UUID_ARRAY),
                (&delays, Type::INT8_ARRAY),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// The fences of a batch, as columns.
struct Fences {
    ids: Vec<JobId>,
    claims: Vec<i32>,
    workers: Vec<Uuid>,
}

impl Fences {
    fn of(fences: impl Iterator<Item = Fence>) -> Self {
        let mut columns = Self { ids: Vec::new(), claims: Vec::new(), workers: Vec::new() };
        for fence in fences {
            columns.ids.push(fence.id);
            columns.claims.push(fence.claim);
            columns.workers.push(fence.worker);
        }
        columns
    }
}
