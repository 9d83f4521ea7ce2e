//! Claiming due jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};
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
    /// Which of the wishes it answers.
    pub wish: usize,
    /// Which of the kinds asked for it is.
    pub kind: usize,
    pub args: String,
    pub priority: i16,
    pub run_at: DateTime<Utc>,
    pub attempt: i32,
    pub max_attempts: i32,
    pub claim: i32,
    pub cancel_requested: bool,
    /// Since when it is lost, where more than one worker in a row has died with it.
    pub lost_for: Option<Duration>,
}

/// In which order jobs start: by priority, due time, id.
pub(crate) type StartOrder = (i16, DateTime<Utc>, JobId);

impl ClaimedJob {
    pub fn order(&self) -> StartOrder {
        (self.priority, self.run_at, self.id)
    }

    pub fn place(&self) -> Place {
        Place { run_at: self.run_at, id: self.id }
    }
}

/// A place in the order of the jobs of one queue and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub run_at: DateTime<Utc>,
    pub id: JobId,
}

impl Place {
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

/// A place for each priority, urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places(pub [Place; 4]);

impl Places {
    pub const START: Self = Self([Place::START; 4]);
}

/// What to claim from one queue.
pub(crate) struct Wish<'w> {
    pub queue: &'w str,
    /// The most jobs.
    pub limit: usize,
    /// Only jobs after these places.
    pub after: Places,
}

/// The answer to one claim.
pub(crate) struct Claimed {
    /// In the order in which they are to start.
    pub jobs: Vec<ClaimedJob>,
    /// The worker id that they were claimed under.
    pub worker: Uuid,
    /// As of when the database has looked.
    pub looked_at: DateTime<Utc>,
    /// The database's clock, in ms since 1970.
    pub database_ms: f64,
    /// In how many ms the next waiting job of the queues asked for is due.
    pub next_due_ms: Option<f64>,
}

pub(crate) async fn open_session(database: &Database, direct: bool) -> Result<Session, Error> {
    Session::open(database, "claim", direct, sql!("claim_session")).await
}

/// Claims jobs of the `kinds` for the worker.
pub(crate) async fn claim(
    session: &Session,
    worker: Uuid,
    kinds: &[&str],
    wishes: &[Wish<'_>],
) -> Result<Claimed, Error> {
    let queues: Vec<&str> = wishes.iter().map(|wish| wish.queue).collect();
    let limits: Vec<i64> = wishes.iter().map(|wish| i64::try_from(wish.limit).unwrap_or(i64::MAX)).collect();
    let (run_ats, ids) = columns(wishes.iter().map(|wish| wish.after));
    let rows = session
        .query(
            sql!("claim"),
            &[
                (&queues, Type::TEXT_ARRAY),
                (&limits, Type::INT8_ARRAY),
                (&kinds, Type::TEXT_ARRAY),
                (&worker, Type::UUID),
                (&run_ats, Type::TIMESTAMPTZ_ARRAY),
                (&ids, Type::INT8_ARRAY),
            ],
        )
        .await?;
    // The last row tells of the claim itself.
    let Some((about, rows)) = rows.split_last() else {
        return Ok(Claimed {
            jobs: Vec::new(),
            worker,
            looked_at: DateTime::UNIX_EPOCH,
            database_ms: 0.0,
            next_due_ms: None,
        });
    };
    let mut jobs = rows.iter().map(claimed_job).collect::<Result<Vec<_>, _>>()?;
    // RETURNING answers in the order of the pages, so the order of starting is made here.
    jobs.sort_unstable_by_key(ClaimedJob::order);
    Ok(Claimed {
        jobs,
        worker,
        looked_at: about.try_get("run_at")?,
        database_ms: about.try_get("database_ms")?,
        next_due_ms: about.try_get("next_due_ms")?,
    })
}

/// By number, since names are looked up in each row.
fn claimed_job(row: &Row) -> Result<ClaimedJob, Error> {
    let StoredJson(args) = row.try_get(8)?;
    Ok(ClaimedJob {
        id: row.try_get(0)?,
        claim: row.try_get(1)?,
        attempt: row.try_get(2)?,
        max_attempts: row.try_get(3)?,
        wish: number(row, 4)?,
        kind: number(row, 5)?,
        priority: row.try_get(6)?,
        run_at: row.try_get(7)?,
        args,
        cancel_requested: row.try_get(9)?,
        lost_for: row
            .try_get::<_, Option<f64>>(10)?
            .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)),
    })
}

/// A place in an array, which SQL counts from 1.
fn number(row: &Row, column: usize) -> Result<usize, Error> {
    Ok(usize::try_from(row.try_get::<_, i32>(column)? - 1).unwrap_or(usize::MAX))
}

/// Places as two columns, four entries for each queue.
fn columns(places: impl Iterator<Item = Places>) -> (Vec<DateTime<Utc>>, Vec<JobId>) {
    places.flat_map(|places| places.0).map(|place| (place.run_at, place.id)).unzip()
}

/// The first job that could be claimed behind the places of each queue and priority: the queue's
/// number, that of the priority from 0, and the place.
pub(crate) async fn find_behind(
    session: &Session,
    kinds: &[&str],
    queues: &[&str],
    places: &[Places],
) -> Result<Vec<(usize, usize, Place)>, Error> {
    let (run_ats, ids) = columns(places.iter().copied());
    let rows = session
        .query(
            sql!("find_behind"),
            &[
                (&queues, Type::TEXT_ARRAY),
                (&kinds, Type::TEXT_ARRAY),
                (&run_ats, Type::TIMESTAMPTZ_ARRAY),
                (&ids, Type::INT8_ARRAY),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((number(row, 0)?, number(row, 1)?, Place { run_at: row.try_get(2)?, id: row.try_get(3)? })))
        .collect()
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
        .client_at_once("control")
        .await?
        .query_typed(sql!("cancel_requests"), &[(&held, Type::INT8_ARRAY), (&worker, Type::UUID)])
        .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}
