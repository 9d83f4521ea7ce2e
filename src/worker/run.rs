//! The life of a worker process: start, run, drain, stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::builder::Worker;
use super::control::Control;
use super::executor::Executor;
use super::fetcher::Fetcher;
use super::finisher::{Finisher, MAX_WAITING};
use super::lease::{self, Lease};
use super::listener::Listener;
use super::pulse::Pulse;
use super::rescue::Rescuer;
use super::shared::Shared;
use super::shutdown::Shutdown;
use super::vital::Vital;
use super::{panic_trace, periodic, rescan, upkeep, vacuum};
use crate::Error;
use crate::database::{MigrationSet, within};

/// How long the history's partitions may take to be made at the start.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long the start waits for the listener before it goes on polling.
const LISTEN_WITHIN: Duration = Duration::from_secs(4);
/// How long the last outcomes may take to be recorded once no job runs.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Attempts that ended by themselves after the shutdown had begun, well or not.
    pub completed: u64,
    /// Attempts that were cut off and given back, or whose outcome could not be recorded.
    pub abandoned: u64,
}

pub(super) async fn run<S: Send + Sync + 'static>(worker: Worker<S>, shutdown: Shutdown) -> Result<Summary, Error> {
    let Worker { database, state, settings, registry, periodics, at_start, metrics, mistake } = worker;
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    settings.check()?;
    registry.check()?;
    database.require_schema(&[MigrationSet::Queue]).await?;
    panic_trace::install();

    let lease = Lease::new(settings.lease);
    let shared = Arc::new(Shared::new(database, settings, registry.kinds(), lease, metrics));
    within(START_WITHIN, upkeep::make_partitions(&shared)).await?;
    lease::register(&shared).await?;
    periodic::register_all(&shared, &periodics).await?;

    // Where this future is dropped, everything that it started goes with it.
    let abandoned = CancellationToken::new();
    let _alive = abandoned.clone().drop_guard();
    let _pulse = Pulse::start();

    // What serves running jobs goes on until they have ended, what makes new ones does not.
    let (services_stop, makers_stop) = (CancellationToken::new(), CancellationToken::new());
    let (record_close, record_cutoff) = (CancellationToken::new(), CancellationToken::new());
    let vital = Vital::new(shutdown.clone());
    let mut services = JoinSet::new();
    let (ended, waiting) = mpsc::channel(MAX_WAITING);
    let executor = Arc::new(Executor::new(Arc::clone(&shared), registry, Arc::new(state), ended, abandoned));
    let finisher = Finisher::new(Arc::clone(&shared), waiting, record_close.clone(), record_cutoff.clone());
    let finisher = AbortOnDropHandle::new(tokio::spawn(vital.clone().watch("finisher", finisher.run())));
    let control = Arc::new(Control::default());
    services.spawn(vital.clone().watch("lease", lease::keep(Arc::clone(&shared), services_stop.clone())));
    services.spawn(
        vital.clone().watch(
            "control",
            Arc::clone(&control).run(Arc::clone(&shared), Arc::clone(&executor), services_stop.clone()),
        ),
    );

    let (first_try, listening) = oneshot::channel();
    services.spawn(
        vital
            .clone()
            .watch("listener", Listener::new(Arc::clone(&shared), control, services_stop.clone()).run(first_try)),
    );
    let hears = matches!(timeout(LISTEN_WITHIN, listening).await, Ok(Ok(true)));

    let fetcher = Fetcher::new(Arc::clone(&shared), Arc::clone(&executor));
    let fetcher = AbortOnDropHandle::new(tokio::spawn(vital.clone().watch("fetcher", fetcher.run(shutdown.clone()))));
    services.spawn(vital.clone().watch("rescan", rescan::run(Arc::clone(&shared), makers_stop.clone())));
    services.spawn(vital.clone().watch("rescue", Rescuer::new(Arc::clone(&shared)).run(makers_stop.clone())));
    services.spawn(vital.clone().watch("vacuum", vacuum::run(Arc::clone(&shared), makers_stop.clone())));
    services.spawn(vital.clone().watch("upkeep", upkeep::run(Arc::clone(&shared), makers_stop.clone())));
    report_ready(&shared, hears);
    if let Err(error) = periodic::enqueue_at_start(&shared, &at_start).await {
        tracing::warn!(%error, "jobs of the start could not be enqueued");
    }
    services.spawn(vital.clone().watch("periodic", periodic::run(Arc::clone(&shared), periodics, makers_stop.clone())));

    shutdown.begun().await;
    tracing::info!(worker_id = %shared.lease.worker_id(), running = shared.metrics.in_flight(), "shutting down");
    makers_stop.cancel();
    let all_known = fetcher.await.unwrap_or_else(|_| {
        tracing::error!("the fetcher panicked");
        false
    });
    let running = shared.metrics.in_flight();
    let abandoned = drain(&shared, &executor, &shutdown).await;

    record_close.cancel();
    let unrecorded = record_rest(finisher, &record_cutoff).await;
    services_stop.cancel();
    while services.join_next().await.is_some() {}
    if !all_known || unrecorded > 0 {
        // Some job may still be said to run here. The others find that out as they do for a dead
        // worker, by its lease: without that, nobody would look for long.
        tracing::warn!(worker_id = %shared.lease.worker_id(), "lease not ended: the others take back what it may still hold");
    } else if let Err(error) = lease::end(&shared.database, shared.lease.worker_id()).await {
        tracing::warn!(%error, "lease not ended; it runs out by itself");
    }
    let summary = Summary { completed: running.saturating_sub(abandoned), abandoned: abandoned + unrecorded };
    tracing::info!(completed = summary.completed, abandoned = summary.abandoned, "shutdown complete");
    if vital.is_broken() { Err(Error::Broken) } else { Ok(summary) }
}

/// Waits for running jobs as long as they may take, then cuts them off. Answers with how many were.
async fn drain<S: Send + Sync + 'static>(shared: &Shared, executor: &Arc<Executor<S>>, shutdown: &Shutdown) -> u64 {
    let drained = tokio::select! {
        drained = timeout(shared.settings.shutdown_timeout, executor.drained()) => drained.is_ok(),
        () = shutdown.hurried() => false,
    };
    if drained { 0 } else { executor.cut_off().await }
}

async fn record_rest(mut finisher: AbortOnDropHandle<u64>, cutoff: &CancellationToken) -> u64 {
    let recorded = if let Ok(recorded) = timeout(RECORD_WITHIN, &mut finisher).await {
        recorded
    } else {
        cutoff.cancel();
        if let Ok(recorded) = timeout(RECORD_WITHIN, &mut finisher).await {
            recorded
        } else {
            tracing::error!("outcomes could not be recorded before the shutdown ended");
            return 1;
        }
    };
    recorded.unwrap_or_else(|_| {
        tracing::error!("the finisher panicked");
        1
    })
}

fn report_ready(shared: &Shared, hears: bool) {
    let queues: Vec<String> =
        shared.settings.queues.iter().map(|queue| format!("{}:{}", queue.name, queue.concurrency)).collect();
    tracing::info!(
        worker_id = %shared.lease.worker_id(),
        queues = queues.join(","),
        listen = hears && shared.settings.listen,
        "worker ready"
    );
}
