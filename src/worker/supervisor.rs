//! Starts the tasks of a worker, drains and stops them.
//!
//! Promises: once the shutdown begins, at most one more claim is answered, and its jobs are released. Outcomes are
//! recorded before the lease is deleted. The lease is kept if a job may still be `running` under it. It decides nothing
//! about a job.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Error;
use crate::observe::Event;
use crate::postgres::within;
use crate::schema::MigrationSet;
use crate::worker::builder::Worker;
use crate::worker::claim::catch_up;
use crate::worker::claim::fetcher::Fetcher;
use crate::worker::critical_task::CriticalTasks;
use crate::worker::execute::args_loader::args_loader;
use crate::worker::execute::cancel::CancelRequests;
use crate::worker::execute::executor::Executor;
use crate::worker::execute::panic_trace;
use crate::worker::execute::runtime_waker::RuntimeWaker;
use crate::worker::finish::finisher::{Finisher, MAX_WAITING};
use crate::worker::handles::WorkerHandles;
use crate::worker::liveness::lease::{self, Lease};
use crate::worker::liveness::listener::Listener;
use crate::worker::liveness::rescue::Rescuer;
use crate::worker::maintain::partitions;
use crate::worker::maintain::periodic::{self, Periodic};
use crate::worker::maintain::vacuum;
use crate::worker::shutdown::Shutdown;

/// The time limit for making the history's partitions at the start.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long the start waits for the listener before it goes on by polling.
const LISTEN_WITHIN: Duration = Duration::from_secs(4);
/// How long recording the last outcomes may take once no job runs.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Attempts that ended by themselves after the shutdown had begun, with any outcome.
    pub completed: u64,
    /// Attempts that were cut off and released, or whose outcome could not be recorded.
    pub abandoned: u64,
}

pub(super) async fn run<S: Send + Sync + 'static>(worker: Worker<S>, shutdown: Shutdown) -> Result<Summary, Error> {
    let Worker { database, state, config, registry, periodics, at_start, metrics, events, blocking_threads, mistake } =
        worker;
    if let Some(mistake) = mistake {
        return Err(mistake);
    }
    config.check()?;
    registry.check()?;
    blocking_threads.allow(config.blocking_threads);
    database.require_schema(&[MigrationSet::Queue]).await?;
    panic_trace::install();

    let lease = Lease::new(config.lease);
    let declares = periodics.iter().map(Periodic::declaration).collect();
    let handles = Arc::new(WorkerHandles::new(database, config, registry.kinds(), declares, lease, metrics, events));
    within(START_WITHIN, partitions::make_first_partitions(&handles)).await?;
    lease::register(&handles).await?;
    periodic::register_all(&handles, &periodics).await?;

    // Dropping this future stops everything that it started.
    let abandoned = CancellationToken::new();
    let _alive = abandoned.clone().drop_guard();
    let _runtime_waker = RuntimeWaker::start();

    // Services that running jobs need go on until these have ended. Background services stop at once.
    let (services_stop, background_stop) = (CancellationToken::new(), CancellationToken::new());
    let (record_close, record_cutoff) = (CancellationToken::new(), CancellationToken::new());
    let critical = CriticalTasks::new(shutdown.clone());
    let mut services = JoinSet::new();
    let (ended, waiting) = mpsc::channel(MAX_WAITING);
    let (args, loader) = args_loader(&handles);
    let executor =
        Executor::new(Arc::clone(&handles), args, registry, Arc::new(state), ended, shutdown.clone(), abandoned);
    let executor = Arc::new(executor);
    let finisher = Finisher::new(Arc::clone(&handles), waiting, record_close.clone(), record_cutoff.clone());
    let finisher = AbortOnDropHandle::new(tokio::spawn(critical.clone().watch("finisher", finisher.run())));
    let cancel_requests = Arc::new(CancelRequests::default());
    services.spawn(critical.clone().watch("args_loader", loader.run(services_stop.clone())));
    services.spawn(critical.clone().watch("lease", lease::renew_until(Arc::clone(&handles), services_stop.clone())));
    services.spawn(critical.clone().watch(
        "cancel_requests",
        Arc::clone(&cancel_requests).run(Arc::clone(&handles), Arc::clone(&executor), services_stop.clone()),
    ));

    let (first_try, listening) = oneshot::channel();
    services.spawn(
        critical.clone().watch(
            "listener",
            Listener::new(Arc::clone(&handles), cancel_requests, services_stop.clone()).run(first_try),
        ),
    );
    let is_listening = matches!(timeout(LISTEN_WITHIN, listening).await, Ok(Ok(true)));

    let fetcher = Fetcher::new(Arc::clone(&handles), Arc::clone(&executor));
    let fetcher =
        AbortOnDropHandle::new(tokio::spawn(critical.clone().watch("fetcher", fetcher.run(shutdown.clone()))));
    let background = |name, service| critical.clone().watch_until(background_stop.clone(), name, service);
    services.spawn(background("catch_up", catch_up::run(Arc::clone(&handles)).boxed()));
    services.spawn(background("rescue", Rescuer::new(Arc::clone(&handles)).run().boxed()));
    services.spawn(background("vacuum", vacuum::run(Arc::clone(&handles)).boxed()));
    services.spawn(background("partitions", partitions::run(Arc::clone(&handles)).boxed()));
    report_ready(&handles, is_listening);
    if let Err(error) = periodic::enqueue_at_start(&handles, &at_start).await {
        tracing::warn!(%error, "the jobs to run at start could not be enqueued");
    }
    services.spawn(background("periodic", periodic::run(Arc::clone(&handles), periodics).boxed()));

    shutdown.begun().await;
    tracing::info!(worker_id = %handles.lease.worker_id(), running = handles.metrics.running(), "shutting down");
    background_stop.cancel();
    let all_known = fetcher.await.unwrap_or_else(|_| {
        tracing::error!("the fetcher panicked");
        false
    });
    let running = handles.metrics.running();
    let abandoned = drain(&handles, &executor, &shutdown).await;

    record_close.cancel();
    let unrecorded = record_rest(finisher, &record_cutoff).await;
    services_stop.cancel();
    while services.join_next().await.is_some() {}
    if !all_known || unrecorded > 0 {
        // A job may still be `running` under this worker. Peers find that out by its lease, as for a dead worker.
        // Without the lease it would take them long.
        tracing::warn!(worker_id = %handles.lease.worker_id(), "lease not deleted: peers rescue the jobs that this worker may still own");
    } else if let Err(error) = lease::end(&handles.database, handles.lease.worker_id()).await {
        tracing::warn!(%error, "lease not deleted; it expires");
    }
    let summary = Summary { completed: running.saturating_sub(abandoned), abandoned: abandoned + unrecorded };
    tracing::info!(completed = summary.completed, abandoned = summary.abandoned, "shutdown complete");
    if critical.has_panicked() { Err(Error::WorkerPanicked) } else { Ok(summary) }
}

/// Waits for running jobs, up to the shutdown timeout, then cuts them off. Returns how many it cut off.
async fn drain<S: Send + Sync + 'static>(
    handles: &WorkerHandles,
    executor: &Arc<Executor<S>>,
    shutdown: &Shutdown,
) -> u64 {
    let drained = tokio::select! {
        drained = timeout(handles.config.shutdown_timeout, executor.none_running()) => drained.is_ok(),
        () = shutdown.cut_off_requested() => false,
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

fn report_ready(handles: &WorkerHandles, is_listening: bool) {
    let queues: Vec<String> =
        handles.config.queues.iter().map(|queue| format!("{}:{}", queue.name, queue.concurrency)).collect();
    tracing::info!(
        worker_id = %handles.lease.worker_id(),
        queues = queues.join(","),
        listen = is_listening && handles.config.listen,
        "worker ready"
    );
    handles.events.send(|| Event::WorkerReady { worker_id: handles.lease.worker_id() });
}
