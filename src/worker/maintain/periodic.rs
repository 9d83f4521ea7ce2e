//! Periodic jobs: each tick enqueues one job for the whole fleet.
//!
//! Every worker waits for each tick and tries to advance `next_tick`. The one update that succeeds also enqueues the
//! job. So no leader is needed.
//!
//! If workers declare different schedules for a kind (a rolling deploy), the schedule of the live worker that was
//! started last is in force. Only workers that declare the same one fire.
//!
//! Promises: a crash neither loses nor doubles a tick. Ticks missed while no worker ran are one tick. A tick that the
//! schedule could not have produced is computed again. Host clocks are not used: the database decides whether a tick is
//! due.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};

use crate::error::Error;
use crate::job::JobId;
use crate::job::NewJob;
use crate::postgres::{Reconnect, within};
use crate::store::periodic::Tick;
use crate::store::{enqueue, periodic as store};
use crate::worker::handles::WorkerHandles;
use crate::worker::maintain::schedule::Schedule;

/// The longest sleep. Then ticks are read again, in case they were moved.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How soon to check again which worker's schedule is in force.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
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

/// Fires ticks, for ever.
pub(in crate::worker) async fn run(handles: Arc<WorkerHandles>, periodics: Vec<Periodic>) {
    if periodics.is_empty() {
        return;
    }
    let mut reconnect = Reconnect::default();
    loop {
        let wait = match round(&handles, &periodics).await {
            Ok(wait) => {
                reconnect.reset();
                wait
            }
            Err(error) => {
                tracing::warn!(%error, "ticks could not be read; trying again");
                reconnect.next_delay()
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Fires due ticks. Returns the time until the next one.
async fn round(handles: &WorkerHandles, periodics: &[Periodic]) -> Result<Duration, Error> {
    let kinds: Vec<&str> = periodics.iter().map(|periodic| periodic.job.kind.as_str()).collect();
    let ticks = within(TIMEOUT, store::read_ticks(&handles.database, &kinds)).await?;
    let mut wait = LONGEST_SLEEP;
    for periodic in periodics {
        let Some(tick) = ticks.iter().find(|tick| tick.kind == periodic.job.kind) else {
            // The row was deleted.
            register(handles, periodic).await?;
            wait = Duration::ZERO;
            continue;
        };
        let mine = periodic.schedule.describe();
        if tick.in_force.as_ref().is_some_and(|in_force| *in_force != mine) {
            // Another worker's schedule is in force: this program is older, or the newer one is being stopped.
            wait = wait.min(LOOK_AGAIN);
            continue;
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
            wait = Duration::ZERO;
            continue;
        }
        let mut next = tick.next;
        if next <= tick.read_at
            && let Some(after) = periodic.schedule.next(tick.first, tick.read_at)
        {
            if let Some(id) = within(TIMEOUT, store::fire(&handles.database, &periodic.job, next, after)).await? {
                tracing::debug!(job_id = id, kind = tick.kind, tick = %next, "periodic job enqueued");
            }
            next = after;
        }
        wait = wait.min((next - tick.read_at).to_std().unwrap_or(Duration::ZERO));
    }
    Ok(wait)
}

/// Registers all periodic kinds.
pub(in crate::worker) async fn register_all(handles: &WorkerHandles, periodics: &[Periodic]) -> Result<(), Error> {
    for periodic in periodics {
        register(handles, periodic).await?;
    }
    Ok(())
}

async fn register(handles: &WorkerHandles, periodic: &Periodic) -> Result<(), Error> {
    let client = handles.database.client().await?;
    let now = within(TIMEOUT, enqueue::database_now(&handles.database.schema().on(&client))).await?;
    // Dropped before the next connection is taken, so that one is enough.
    drop(client);
    // A cron expression that never matches is searched for over many years.
    let schedule = periodic.schedule.clone();
    let first = tokio::task::spawn_blocking(move || schedule.first(now))
        .await
        .unwrap_or_default()
        .ok_or_else(|| Error::invalid("schedule", format!("of {} never comes", periodic.job.kind)))?;
    within(TIMEOUT, store::register(&handles.database, &periodic.job.kind, &periodic.schedule.describe(), first)).await
}

/// Enqueues the jobs that each start of a worker process wants.
pub(in crate::worker) async fn enqueue_at_start(handles: &WorkerHandles, jobs: &[NewJob]) -> Result<Vec<JobId>, Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let client = handles.database.client().await?;
    within(TIMEOUT, enqueue::enqueue_many(&handles.database.schema().on(&client), jobs)).await
}
