//! Periodic jobs: each tick enqueues one job for the whole fleet.
//!
//! Every worker waits for each tick and tries to advance `next_tick`. The one update that succeeds also enqueues the
//! job. So no leader is needed.
//!
//! If workers declare different schedules for a kind (a rolling deploy), the schedule of the live worker that was
//! started last is in force. Only workers that declare the same one fire.
//!
//! Promises: a crash neither loses nor doubles a tick. Ticks missed while no worker ran are one tick. A tick that the
//! schedule could not have produced is computed again. After the last tick of a schedule there is none. A kind whose
//! tick cannot be fired delays those of other kinds by no more than a short wait for a lock. Host clocks are not used:
//! the database decides whether a tick is due.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};

use crate::enqueue::enqueue_many;
use crate::error::Error;
use crate::job::{Enqueued, NewJob};
use crate::postgres::{Reconnect, within};
use crate::store::enqueue::database_now;
use crate::store::periodic::{self as store, Tick};
use crate::worker::handles::WorkerHandles;
use crate::worker::maintain::schedule::Schedule;

/// The longest sleep. Then ticks are read again, in case they were moved.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How soon to check again which worker's schedule is in force.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A periodic kind.
pub(in crate::worker) struct Periodic {
    pub job: NewJob,
    pub schedule: Schedule,
}

impl Periodic {
    /// What the worker declares, for its peers.
    pub fn declaration(&self) -> String {
        format!("{} {}", self.job.kind, self.schedule.describe())
    }

    /// Whether the schedule could have produced this tick.
    fn allows(&self, tick: &Tick) -> bool {
        let latest = self.schedule.first(tick.read_at).map(|latest| latest + TimeDelta::seconds(5));
        tick.first.min(tick.next) >= DateTime::UNIX_EPOCH
            && latest.is_none_or(|latest| tick.first.max(tick.next) <= latest)
    }
}

/// What a round has left to do.
struct Round {
    /// The time until the next tick.
    wait: Duration,
    /// Whether the ticks of some kind failed.
    has_failed: bool,
}

/// Fires ticks, for ever.
pub(in crate::worker) async fn run(handles: Arc<WorkerHandles>, periodics: Vec<Periodic>) {
    if periodics.is_empty() {
        return;
    }
    let mut reconnect = Reconnect::default();
    loop {
        let wait = match round(&handles, &periodics).await {
            Ok(Round { wait, has_failed: false }) => {
                reconnect.reset();
                wait
            }
            Ok(Round { wait, has_failed: true }) => wait.min(reconnect.next_delay()),
            Err(error) => {
                tracing::warn!(%error, "ticks could not be read; trying again");
                reconnect.next_delay()
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Fires due ticks. A kind that fails stops no other.
async fn round(handles: &WorkerHandles, periodics: &[Periodic]) -> Result<Round, Error> {
    let kinds: Vec<&str> = periodics.iter().map(|periodic| periodic.job.kind.as_str()).collect();
    let ticks = within(TIMEOUT, store::read_ticks(&handles.database, &kinds)).await?;
    let read = Instant::now();
    let mut round = Round { wait: LONGEST_SLEEP, has_failed: false };
    for periodic in periodics {
        let kind = &periodic.job.kind;
        match keep(handles, periodic, ticks.iter().find(|tick| tick.kind == *kind)).await {
            Ok(wait) => round.wait = round.wait.min(wait),
            // It concerns all kinds.
            Err(error @ Error::Connect { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(kind, %error, "the ticks of a kind failed; trying again");
                round.has_failed = true;
            }
        }
    }
    // The waits count from the reading, and some kinds may have taken their time.
    round.wait = round.wait.saturating_sub(read.elapsed());
    Ok(round)
}

/// Fires the tick of a kind if it is due. Sets it anew if it is none of the schedule. Returns the time until the next
/// one.
async fn keep(handles: &WorkerHandles, periodic: &Periodic, tick: Option<&Tick>) -> Result<Duration, Error> {
    let Some(tick) = tick else {
        // The row was deleted.
        register(handles, periodic).await?;
        return Ok(Duration::ZERO);
    };
    let mine = periodic.schedule.describe();
    if tick.in_force.as_ref().is_some_and(|in_force| *in_force != mine) {
        // Another worker's schedule is in force: this program is older, or the newer one is being stopped.
        return Ok(RECHECK_INTERVAL);
    }
    if tick.schedule != mine || !periodic.allows(tick) {
        tracing::warn!(
            kind = tick.kind,
            schedule = mine,
            former_schedule = tick.schedule,
            former_tick = %tick.next,
            "ticks restart: the schedule has changed, or does not produce the stored tick"
        );
        register(handles, periodic).await?;
        return Ok(Duration::ZERO);
    }
    let mut next = tick.next;
    if next <= tick.read_at {
        let after = periodic.schedule.next(tick.first, tick.read_at).unwrap_or_else(Schedule::no_tick);
        if let Some(id) = within(TIMEOUT, store::fire(&handles.database, &periodic.job, next, after)).await? {
            tracing::debug!(job_id = id, kind = tick.kind, tick = %next, "periodic job enqueued");
        }
        next = after;
    }
    Ok((next - tick.read_at).to_std().unwrap_or(Duration::ZERO))
}

/// Registers all periodic kinds.
pub(in crate::worker) async fn register_all(handles: &WorkerHandles, periodics: &[Periodic]) -> Result<(), Error> {
    for periodic in periodics {
        match register(handles, periodic).await {
            // The rounds see to it.
            Err(error) if error.is_locked_out() => {
                tracing::warn!(kind = periodic.job.kind, %error, "another session has locked the ticks of a kind");
            }
            registered => registered?,
        }
    }
    Ok(())
}

async fn register(handles: &WorkerHandles, periodic: &Periodic) -> Result<(), Error> {
    let now = async {
        let tx = handles.database.begin(store::LIMITS).await?;
        tx.commit_with(database_now(&tx)).await
    };
    let now = within(TIMEOUT, now).await?;
    // A cron expression that never matches is searched for over many years.
    let schedule = periodic.schedule.clone();
    let first = tokio::task::spawn_blocking(move || schedule.to_store(now));
    let (kind, schedule) = (&periodic.job.kind, periodic.schedule.describe());
    let first =
        first.await.unwrap_or_default().ok_or_else(|| Error::invalid("schedule", format!("of {kind} never comes")))?;
    if first == Schedule::no_tick() {
        tracing::warn!(kind, schedule, "all times of the schedule have passed");
    }
    within(TIMEOUT, store::register(&handles.database, kind, &schedule, first)).await
}

/// Enqueues the jobs that each start of a worker process wants.
pub(in crate::worker) async fn enqueue_at_start(
    handles: &WorkerHandles,
    jobs: &[NewJob],
) -> Result<Vec<Enqueued>, Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let enqueued = async {
        let tx = handles.database.begin(store::START_LIMITS).await?;
        tx.commit_with(enqueue_many(&tx, jobs).into_future()).await
    };
    within(TIMEOUT, enqueued).await
}
