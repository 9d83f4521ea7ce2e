//! The statements that claim due jobs, and those that compare claims with the jobs that a worker holds.
//!
//! Promises: each claim increments the job's claim number, so each attempt has its own fence. A worker that is not
//! registered claims nothing. Jobs are released by id and claim number, so none is released that the worker holds.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::finish::{Fence, Fences};
use super::session::Session;
use crate::error::Error;
use crate::job::{JobId, JobKey, StoredJson, StoredTime};
use crate::postgres::{Database, Limits, Params, Statements};
use crate::sql::sql;

pub(crate) struct ClaimedJob {
    pub id: JobId,
    /// The index of its request.
    pub request: usize,
    /// The index of its kind in the `kinds` of the claim.
    pub kind: usize,
    /// None if they are large: [`args_of`] reads them.
    pub args: Option<String>,
    pub priority: i16,
    pub run_at: DateTime<Utc>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub claim: i32,
    pub cancel_requested: bool,
    pub created_at: DateTime<Utc>,
    /// The time since its last worker died, if more than one in a row died while running it.
    pub since_crash: Option<Duration>,
}

/// The order in which jobs start: priority, due time, id.
pub(crate) type StartOrder = (i16, DateTime<Utc>, JobId);

impl ClaimedJob {
    pub fn order(&self) -> StartOrder {
        (self.priority, self.run_at, self.id)
    }

    pub fn key(&self) -> JobKey {
        JobKey { id: self.id, created_at: self.created_at }
    }

    pub fn position(&self) -> Position {
        Position { run_at: self.run_at, id: self.id }
    }
}

/// A position in the order of the jobs of one queue and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub run_at: DateTime<Utc>,
    pub id: JobId,
}

impl Position {
    /// Before all jobs: none is due before 1970.
    const START: Self = Self { run_at: DateTime::UNIX_EPOCH, id: JobId::MIN };

    /// Before all jobs that are due at `run_at`.
    pub fn before_all_of(run_at: DateTime<Utc>) -> Self {
        Self { run_at, id: JobId::MIN }
    }

    pub fn just_before(self) -> Self {
        Self { id: self.id.saturating_sub(1), ..self }
    }
}

/// One position per priority, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Positions(pub [Position; 4]);

impl Positions {
    pub const START: Self = Self([Position::START; 4]);
}

/// The part of a claim for one queue.
pub(crate) struct ClaimRequest<'r> {
    pub queue: &'r str,
    /// The maximum number of jobs.
    pub limit: usize,
    /// Only jobs after these positions.
    pub after: Positions,
}

/// The answer to a claim.
pub(crate) struct Claimed {
    /// In start order.
    pub jobs: Vec<ClaimedJob>,
    /// The worker id that claimed them.
    pub worker: Uuid,
    /// The database's time of the claim.
    pub at: DateTime<Utc>,
    /// The database's clock, in ms since 1970.
    pub database_ms: f64,
    /// The time in ms until the next waiting job of the queues is due.
    pub next_due_ms: Option<f64>,
    /// The wait for the turn.
    pub waited: Duration,
}

/// The claim that does not lock its jobs before it updates them: a lock costs an eighth of the claim's time, and 54 bytes
/// of WAL. It may wait for a transaction that has locked one.
static CLAIM_UNLOCKED: LazyLock<String> = LazyLock::new(|| unlocked(sql!("claim/claim")));
/// The claims for a database that is not encoded in UTF-8. They escape args that cannot be sent, so that only their own
/// job fails.
static CLAIM_READABLE: LazyLock<String> =
    LazyLock::new(|| sql!("claim/claim").replace("THEN j.args END", "THEN postrider.readable(j.args) END"));
static CLAIM_READABLE_UNLOCKED: LazyLock<String> = LazyLock::new(|| unlocked(&CLAIM_READABLE));

fn unlocked(claim: &str) -> String {
    claim.replace(" FOR UPDATE SKIP LOCKED", "")
}

/// The limits of a claim.
const CLAIM_LIMITS: Limits = Limits { statement: Duration::from_secs(5), lock: Duration::from_secs(2) };
/// The limits of a read on the pool.
const READ_LIMITS: Limits = Limits { statement: Duration::from_secs(5), lock: Duration::from_secs(2) };

pub(crate) async fn open_session(database: &Database, direct: bool) -> Result<Session, Error> {
    Session::open(database, "claim", direct, sql!("claim/claim_session"), CLAIM_LIMITS).await
}

/// The answer to a claim in a turn.
pub(crate) enum InTurn {
    Claimed(Claimed),
    /// It waited in vain for its turn. Nothing is claimed.
    MissedTurn,
    /// It waited in vain for a transaction that has locked a job. Nothing is claimed.
    MetLockedJob,
}

/// A claim of due jobs for a worker.
pub(crate) struct Claim<'c> {
    worker: Uuid,
    kinds: &'c [&'c str],
    queues: Vec<&'c str>,
    limits: Vec<i64>,
    run_ats: Vec<DateTime<Utc>>,
    ids: Vec<JobId>,
}

impl<'c> Claim<'c> {
    pub fn new(worker: Uuid, kinds: &'c [&'c str], requests: &[ClaimRequest<'c>]) -> Self {
        let (run_ats, ids) = columns(requests.iter().map(|request| request.after));
        Self {
            worker,
            kinds,
            queues: requests.iter().map(|request| request.queue).collect(),
            limits: requests.iter().map(|request| i64::try_from(request.limit).unwrap_or(i64::MAX)).collect(),
            run_ats,
            ids,
        }
    }

    /// Skips jobs that another transaction has locked.
    pub async fn run(&self, session: &Session) -> Result<Claimed, Error> {
        let rows = session.query(Self::statement(session, true), &self.params()).await?;
        self.claimed(&rows, Duration::ZERO)
    }

    /// Runs in this worker's turn, on a direct session.
    pub async fn run_in_turn(&self, session: &Session, skip_locked: bool) -> Result<InTurn, Error> {
        let statement = Self::statement(session, skip_locked);
        let turn: Params<'_> = &[(&self.queues, Type::TEXT_ARRAY)];
        let (turn, rows) = session.query_both((sql!("claim/take_turn"), turn), (statement, &self.params())).await?;
        let turn = match turn.map_err(Error::from) {
            Err(error) if error.is_locked_out() => return Ok(InTurn::MissedTurn),
            turn => turn?,
        };
        let rows = match rows.map_err(Error::from) {
            Err(error) if error.is_locked_out() => return Ok(InTurn::MetLockedJob),
            rows => rows?,
        };
        let waited_ms: f64 = turn.first().map_or(Ok(0.0), |row| row.try_get("waited_ms"))?;
        let waited = Duration::try_from_secs_f64(waited_ms / 1_000.0).unwrap_or_default();
        Ok(InTurn::Claimed(self.claimed(&rows, waited)?))
    }

    fn statement(session: &Session, skip_locked: bool) -> &'static str {
        match (session.is_utf8(), skip_locked) {
            (true, true) => sql!("claim/claim"),
            (true, false) => &CLAIM_UNLOCKED,
            (false, true) => &CLAIM_READABLE,
            (false, false) => &CLAIM_READABLE_UNLOCKED,
        }
    }

    fn params(&self) -> [(&(dyn ToSql + Sync), Type); 6] {
        [
            (&self.queues, Type::TEXT_ARRAY),
            (&self.limits, Type::INT8_ARRAY),
            (&self.kinds, Type::TEXT_ARRAY),
            (&self.worker, Type::UUID),
            (&self.run_ats, Type::TIMESTAMPTZ_ARRAY),
            (&self.ids, Type::INT8_ARRAY),
        ]
    }

    fn claimed(&self, rows: &[Row], waited: Duration) -> Result<Claimed, Error> {
        let mut claimed = Claimed {
            jobs: Vec::new(),
            worker: self.worker,
            at: DateTime::UNIX_EPOCH,
            database_ms: 0.0,
            next_due_ms: None,
            waited,
        };
        // The last row describes the claim itself.
        if let Some((about, rows)) = rows.split_last() {
            claimed.jobs = rows.iter().map(claimed_job).collect::<Result<_, _>>()?;
            // RETURNING returns rows in page order, so sort here.
            claimed.jobs.sort_unstable_by_key(ClaimedJob::order);
            claimed.at = about.try_get("run_at")?;
            claimed.database_ms = about.try_get("database_ms")?;
            claimed.next_due_ms = about.try_get("next_due_ms")?;
        }
        Ok(claimed)
    }
}

/// Reads columns by number: a name would be looked up in each row.
fn claimed_job(row: &Row) -> Result<ClaimedJob, Error> {
    Ok(ClaimedJob {
        id: row.try_get(0)?,
        claim: row.try_get(1)?,
        attempt: row.try_get::<_, i16>(2)?.into(),
        max_attempts: row.try_get::<_, i16>(3)?.into(),
        request: number(row, 4)?,
        kind: number(row, 5)?,
        priority: row.try_get(6)?,
        run_at: row.try_get(7)?,
        args: row.try_get::<_, Option<StoredJson>>(8)?.map(|StoredJson(text)| text),
        cancel_requested: row.try_get(9)?,
        since_crash: row
            .try_get::<_, Option<f64>>(10)?
            .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)),
        created_at: row.try_get::<_, StoredTime>(11)?.0,
    })
}

/// Reads an array index. SQL counts from 1.
fn number(row: &Row, column: usize) -> Result<usize, Error> {
    Ok(usize::try_from(row.try_get::<_, i32>(column)? - 1).unwrap_or(usize::MAX))
}

/// Positions as two columns, four entries per queue.
fn columns(positions: impl Iterator<Item = Positions>) -> (Vec<DateTime<Utc>>, Vec<JobId>) {
    positions.flat_map(|positions| positions.0).map(|position| (position.run_at, position.id)).unzip()
}

/// Returns the first claimable job behind the cursor of each queue and priority: the index of the queue, the index of
/// the priority, and the position.
pub(crate) async fn find_skipped(
    session: &Session,
    kinds: &[&str],
    queues: &[&str],
    positions: &[Positions],
) -> Result<Vec<(usize, usize, Position)>, Error> {
    let (run_ats, ids) = columns(positions.iter().copied());
    let rows = session
        .query(
            sql!("claim/find_skipped"),
            &[
                (&queues, Type::TEXT_ARRAY),
                (&kinds, Type::TEXT_ARRAY),
                (&run_ats, Type::TIMESTAMPTZ_ARRAY),
                (&ids, Type::INT8_ARRAY),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((number(row, 0)?, number(row, 1)?, Position { run_at: row.try_get(2)?, id: row.try_get(3)? })))
        .collect()
}

/// Releases jobs that the database records as running on the worker but `in_flight` does not contain: the claim is
/// unanswered, or the database has lost an outcome. Returns their number.
pub(crate) async fn release_not_in_flight(
    session: &Session,
    worker: Uuid,
    in_flight: &[Fence],
) -> Result<usize, Error> {
    let (ids, claims): (Vec<JobId>, Vec<i32>) = in_flight.iter().map(|fence| (fence.id, fence.claim)).unzip();
    let params: Params<'_> = &[(&worker, Type::UUID), (&ids, Type::INT8_ARRAY), (&claims, Type::INT4_ARRAY)];
    Ok(session.query(sql!("claim/release_not_in_flight"), params).await?.len())
}

/// Returns the jobs that are not unfinished any more: finished, or lost in a failover.
pub(crate) async fn vanished_jobs(session: &Session, jobs: &[JobKey]) -> Result<Vec<JobKey>, Error> {
    let (ids, times): (Vec<JobId>, Vec<DateTime<Utc>>) = jobs.iter().map(|job| (job.id, job.created_at)).unzip();
    let params: Params<'_> = &[(&ids, Type::INT8_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)];
    let rows = session.query(sql!("claim/vanished_jobs"), params).await?;
    rows.iter().map(|row| Ok(JobKey { id: row.try_get(0)?, created_at: row.try_get::<_, StoredTime>(1)?.0 })).collect()
}

/// Returns the args of the jobs whose fences hold, by id.
pub(crate) async fn args_of(database: &Database, fences: &[Fence]) -> Result<HashMap<JobId, String>, Error> {
    let tx = database.begin_without_wait("args", READ_LIMITS).await?;
    let statements = Statements::on(&tx);
    let fences = Fences::of(fences.iter().copied());
    let params: Params<'_> =
        &[(&fences.ids, Type::INT8_ARRAY), (&fences.claims, Type::INT4_ARRAY), (&fences.workers, Type::UUID_ARRAY)];
    let rows = tx.commit_with(statements.query_typed(sql!("claim/args_of"), params)).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get::<_, StoredJson>("args")?.0))).collect()
}

/// As [`args_of`], for one job on a session of a test.
#[cfg(feature = "testing")]
pub(crate) async fn args_on(session: &Session, fence: Fence) -> Result<Option<String>, Error> {
    let fences = Fences::of(std::iter::once(fence));
    let params: Params<'_> =
        &[(&fences.ids, Type::INT8_ARRAY), (&fences.claims, Type::INT4_ARRAY), (&fences.workers, Type::UUID_ARRAY)];
    let rows = session.query(sql!("claim/args_of"), params).await?;
    rows.first().map(|row| Ok(row.try_get::<_, StoredJson>("args")?.0)).transpose()
}

/// Returns the attempts of the worker that are to be cancelled, among the jobs with these ids.
pub(crate) async fn cancel_requests(database: &Database, worker: Uuid, ids: &[JobId]) -> Result<Vec<Fence>, Error> {
    let tx = database.begin_without_wait("cancel", READ_LIMITS).await?;
    let statements = Statements::on(&tx);
    let params: Params<'_> = &[(&ids, Type::INT8_ARRAY), (&worker, Type::UUID)];
    let rows = tx.commit_with(statements.query_typed(sql!("claim/cancel_requests"), params)).await?;
    rows.iter().map(|row| Ok(Fence { id: row.try_get("id")?, claim: row.try_get("claim")?, worker })).collect()
}
