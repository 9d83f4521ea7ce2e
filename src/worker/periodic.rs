//! Periodic jobs: each tick enqueues one job for the whole fleet.
//!
//! Every worker waits for every tick, and tries to move it in the database; the one that finds it
//! where it was enqueues the job in the same statement. So a tick needs no leader, is neither lost
//! nor doubled by a crash, and those missed while nobody ran collapse into one.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;
use super::shared::Shared;
use crate::database::{Reconnect, within};
use crate::enqueue::NewJob;
use crate::store::{enqueue, periodic as store};
use crate::{Error, JobId};

/// The longest sleep: ticks are read anew after it, whoever moved them.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// A job that is enqueued by the clock.
pub(super) struct Periodic {
    pub job: NewJob,
    pub schedule: Schedule,
}

/// Enqueues by the clock until stopped.
pub(super) async fn run(shared: Arc<Shared>, periodics: Vec<Periodic>, stop: CancellationToken) {
    if periodics.is_empty() {
        return;
    }
    let mut reconnect = Reconnect::default();
    loop {
        let wait = match round(&shared, &periodics).await {
            Ok(wait) => {
                reconnect.reset();
                wait
            }
            Err(error) => {
                tracing::warn!(%error, "periodic jobs could not be looked at; trying again");
                reconnect.next_delay()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Fires what is due. Answers with the time until the next tick.
async fn round(shared: &Shared, periodics: &[Periodic]) -> Result<Duration, Error> {
    let kinds: Vec<&str> = periodics.iter().map(|periodic| periodic.job.kind.as_str()).collect();
    let ticks = within(TIMEOUT, store::read_ticks(&shared.database, &kinds)).await?;
    let mut wait = LONGEST_SLEEP;
    for periodic in periodics {
        let Some(tick) = ticks.iter().find(|tick| tick.kind == periodic.job.kind) else {
            // Somebody deleted it.
            register(shared, periodic).await?;
            wait = Duration::ZERO;
            continue;
        };
        let mut next = tick.next;
        if next <= tick.read_at
            && let Some(after) = periodic.schedule.next(tick.first, tick.read_at)
        {
            if let Some(id) = within(TIMEOUT, store::fire(&shared.database, &periodic.job, next, after)).await? {
                tracing::debug!(job_id = id, kind = tick.kind, tick = %next, "periodic job enqueued");
            }
            next = after;
        }
        wait = wait.min((next - tick.read_at).to_std().unwrap_or(Duration::ZERO));
    }
    Ok(wait)
}

/// Declares all periodic kinds.
pub(super) async fn register_all(shared: &Shared, periodics: &[Periodic]) -> Result<(), Error> {
    for periodic in periodics {
        register(shared, periodic).await?;
    }
    Ok(())
}

async fn register(shared: &Shared, periodic: &Periodic) -> Result<(), Error> {
    let client = shared.database.client().await?;
    let now = within(TIMEOUT, enqueue::database_now(&**client)).await?;
    // Dropped before the next connection is taken, so that one is enough.
    drop(client);
    let first = periodic
        .schedule
        .first(now)
        .ok_or_else(|| Error::invalid("schedule", format!("of {} never comes", periodic.job.kind)))?;
    within(TIMEOUT, store::register(&shared.database, &periodic.job.kind, &periodic.schedule.describe(), first)).await
}

/// Enqueues what is wanted once at each start of a worker process.
pub(super) async fn enqueue_at_start(shared: &Shared, jobs: &[NewJob]) -> Result<Vec<JobId>, Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let client = shared.database.client().await?;
    within(TIMEOUT, enqueue::enqueue_many(&**client, jobs)).await
}
