//! Runs the jobs of a worker on the caller's task, one at a time: for the testing kit.
//!
//! - `perform` runs one attempt without a database
//! - `run_due` claims and runs the jobs that are due
//! - `run` is one such run: its claims, its recording, its faults
//! - `outcome` is what a test sees of an attempt
//!
//! Promises: attempts begin and end, and outcomes are recorded, by the same code and statements as in a running worker.
//! Nothing runs in the background: no heartbeat, no rescue, no listener, no periodic job.

mod outcome;
mod run;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use uuid::Uuid;

use crate::error::Error;
use crate::job::{JobId, JobKey, NewJob};
use crate::observe::Event;
use crate::postgres::{Database, TestTransaction};
use crate::schema::MigrationSet;
use crate::store::finish::Fence;
use crate::store::session::Session;
use crate::store::testing as store;
use crate::worker::builder::Worker;
use crate::worker::context::Context;
use crate::worker::execute::{attempt, panic_trace};
use crate::worker::handler::Handler;
use crate::worker::handles::WorkerHandles;
use crate::worker::in_flight::{InFlightJob, NewInFlightJob, StopReason};
use crate::worker::liveness::lease::Lease;
use crate::worker::maintain::partitions;
use crate::worker::outcome::Outcome as EngineOutcome;
use crate::worker::registry::Registry;
pub use outcome::{Attempt, Outcome};
use run::Run;

/// A run of the jobs that are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due<'w> {
    /// In this transaction.
    pub tx: Option<&'w TestTransaction>,
    /// The time that passes.
    pub time: Duration,
    pub fault: Option<Fault>,
    /// The most attempts.
    pub limit: usize,
}

/// A fault that befalls the first attempt of each job in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    CrashAfterEffect,
    LoseLease,
    DuplicateDelivery,
}

/// An attempt to be performed without a database.
pub(crate) struct Performed {
    pub job: NewJob,
    pub id: JobId,
    pub attempt: u32,
    /// When it is asked to stop.
    pub cancel_after: Option<Duration>,
}

/// A worker that runs nothing by itself.
pub(crate) struct InlineWorker<S> {
    handles: Arc<WorkerHandles>,
    registry: Registry<S>,
    state: Arc<S>,
}

/// A job with its handler, to be run.
struct Startable<S> {
    job: Arc<InFlightJob>,
    handler: Arc<Handler<S>>,
    queue: Arc<str>,
    /// Or why the database cannot read them.
    args: Result<String, String>,
}

impl<S: Send + Sync + 'static> InlineWorker<S> {
    pub fn new(worker: Worker<S>) -> Result<Self, Error> {
        let Worker { database, state, config, registry, metrics, events, blocking_threads, mistake, .. } = worker;
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        config.check_ranges()?;
        registry.check()?;
        blocking_threads.allow(config.blocking_threads);
        panic_trace::install();
        let lease = Lease::new(config.lease);
        let handles = WorkerHandles::new(database, config, registry.kinds(), Vec::new(), lease, metrics, events);
        Ok(Self { handles: Arc::new(handles), registry, state: Arc::new(state) })
    }

    pub fn database(&self) -> &Database {
        &self.handles.database
    }

    pub fn state(&self) -> &S {
        &self.state
    }

    /// Runs one attempt. Nothing is recorded.
    pub async fn perform(&self, performed: Performed) -> Result<Outcome, Error> {
        let Performed { job, id, attempt, cancel_after } = performed;
        let handler = self.registry.get(&job.kind);
        let handler = handler.ok_or_else(|| Error::invalid("kind", format!("{:?} has no handler", job.kind)))?;
        let new = NewInFlightJob {
            key: JobKey { id, created_at: Utc::now() },
            fence: Fence { id, claim: 1, worker: Uuid::now_v7() },
            kind: handler.kind,
            queue: 0,
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            max_attempts: job.stored_max_attempts().into(),
            timeout: handler.timeout.or(self.handles.config.timeout),
            keeps_completed: true,
        };
        let (queue, args) = (job.queue.into(), Ok(job.args.as_str().to_owned()));
        let startable = Startable { job: Arc::new(InFlightJob::new(&new)), handler: Arc::clone(handler), queue, args };
        let cancelled = async {
            match cancel_after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            startable.job.stop(StopReason::CancelRequested);
            std::future::pending().await
        };
        let outcome = tokio::select! {
            outcome = self.attempt(&startable, None) => outcome,
            outcome = cancelled => outcome,
        };
        Ok(outcome.into())
    }

    /// Prepares the database for jobs that end in a transaction of a test, which cannot.
    pub async fn prepare(&self) -> Result<(), Error> {
        self.database().require_schema(&[MigrationSet::Queue]).await?;
        partitions::make_first_partitions(&self.handles).await
    }

    /// Runs the jobs that are due, and those that become due by them.
    pub async fn run_due(&self, due: Due<'_>) -> Result<Vec<Attempt>, Error> {
        self.handles.config.check()?;
        let session = if let Some(tx) = due.tx {
            if due.fault == Some(Fault::DuplicateDelivery) {
                return Err(Error::invalid(
                    "duplicate_delivery",
                    "runs two attempts at once, which one transaction cannot",
                ));
            }
            Session::in_transaction(tx)
        } else {
            self.prepare().await?;
            store::open_session(self.database()).await?
        };
        Run::begin(self, session, due).await?.finish().await
    }

    /// Runs an attempt. Its handler is lent the transaction, if there is one.
    async fn attempt(&self, startable: &Startable<S>, lent: Option<&TestTransaction>) -> EngineOutcome {
        let job = &startable.job;
        if let Some(outcome) = attempt::not_begun(job.stop_reason(), true) {
            return outcome;
        }
        let args = match &startable.args {
            Ok(args) => args.clone(),
            Err(problem) => return attempt::args_unreadable(job, &self.handles.config.retry_policy, problem),
        };
        job.start(args.len());
        self.handles.events.send(|| Event::AttemptStarted {
            job_id: job.id,
            kind: job.kind,
            attempt: job.attempt.unsigned_abs(),
        });
        let mut context = Context::new(&self.handles, job, &startable.queue, &self.state);
        context.lent = lent.cloned();
        let handler = Arc::clone(&startable.handler);
        let start = || self.registry.start(handler, args, context);
        let policy = &self.handles.config.retry_policy;
        let outcome = attempt::run(job, job.timeout, policy, startable.handler.retry_after, start).await;
        job.end_once();
        outcome
    }
}
