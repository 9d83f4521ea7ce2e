//! Jobs in flight: from their claim until their outcome is recorded.
//!
//! A job stays in flight while its outcome waits to be recorded, so that it does not count as lost in between.
//!
//! Promises: a job that is claimed again while its handler runs is not started again, unless the attempt has lost it:
//! the attempt continues under the new claim. A job is identified by its id and `created_at`. Memory only: no SQL.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::job::{JobId, JobKey};
use crate::store::finish::Fence;
use crate::worker::extensions::Extensions;

/// Why a handler is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A cancel was requested.
    CancelRequested = 1,
    /// The attempt has timed out.
    TimedOut = 2,
    /// The worker is shutting down, and the shutdown timeout is over.
    ShuttingDown = 3,
    /// Another attempt owns the job.
    Lost = 4,
}

/// One job in flight.
#[derive(Debug)]
pub(super) struct InFlightJob {
    pub id: JobId,
    pub key: JobKey,
    pub kind: &'static str,
    pub queue: usize,
    pub attempt: i32,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
    /// Whether the history keeps it once it is completed.
    pub keeps_completed: bool,
    pub cancel: CancellationToken,
    /// The size of its args, 0 until they are read.
    args_bytes: AtomicUsize,
    /// Unset while the job is buffered.
    started_at: OnceLock<Instant>,
    fence: Mutex<(i32, Uuid)>,
    stop_reason: AtomicU8,
    stopped_at: Mutex<Option<Instant>>,
    /// Its handler has completed it in a transaction that may not be committed.
    completes: AtomicBool,
    /// The database has refused that completion, for a reason of its own.
    completion_refused: AtomicBool,
    /// Its handler has ended, or was abandoned.
    ended: AtomicBool,
    pub extensions: Extensions,
}

/// What an in-flight job is made from.
pub(super) struct NewInFlightJob {
    pub key: JobKey,
    pub fence: Fence,
    pub kind: &'static str,
    pub queue: usize,
    pub attempt: i32,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
    pub keeps_completed: bool,
}

impl InFlightJob {
    pub fn new(new: &NewInFlightJob) -> Self {
        Self {
            id: new.key.id,
            key: new.key,
            kind: new.kind,
            queue: new.queue,
            attempt: new.attempt,
            max_attempts: new.max_attempts,
            timeout: new.timeout,
            keeps_completed: new.keeps_completed,
            cancel: CancellationToken::new(),
            args_bytes: AtomicUsize::new(0),
            started_at: OnceLock::new(),
            fence: Mutex::new((new.fence.claim, new.fence.worker)),
            stop_reason: AtomicU8::new(0),
            stopped_at: Mutex::new(None),
            completes: AtomicBool::new(false),
            completion_refused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            extensions: Extensions::default(),
        }
    }

    /// The fence of its latest claim.
    pub fn fence(&self) -> Fence {
        let (claim, worker) = *self.fence.lock();
        Fence { id: self.id, claim, worker }
    }

    /// Asks the handler to stop. The first reason stays, except that a loss overrides all.
    pub fn stop(&self, reason: StopReason) {
        if reason == StopReason::Lost {
            self.stop_reason.store(reason as u8, Ordering::Release);
        } else {
            let _ = self.stop_reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        }
        self.stopped_at.lock().get_or_insert_with(Instant::now);
        self.cancel.cancel();
    }

    pub fn stop_reason(&self) -> Option<StopReason> {
        match self.stop_reason.load(Ordering::Acquire) {
            1 => Some(StopReason::CancelRequested),
            2 => Some(StopReason::TimedOut),
            3 => Some(StopReason::ShuttingDown),
            4 => Some(StopReason::Lost),
            _ => None,
        }
    }

    /// When it was asked to stop.
    pub fn stopped_at(&self) -> Option<Instant> {
        *self.stopped_at.lock()
    }

    /// Whether it has run for longer than its timeout plus `margin`: its own timer could not stop it.
    pub fn is_overdue(&self, margin: Duration) -> bool {
        let runs_for = self.started_at.get().map_or(Duration::ZERO, Instant::elapsed);
        self.timeout.is_some_and(|timeout| runs_for > timeout.saturating_add(margin))
    }

    /// Its attempt begins, with args of this size.
    pub fn start(&self, args_bytes: usize) {
        self.args_bytes.store(args_bytes, Ordering::Relaxed);
        self.started_at.get_or_init(Instant::now);
    }

    /// The size of its args in bytes. 0 if its attempt has not begun.
    pub fn args_bytes(&self) -> usize {
        self.args_bytes.load(Ordering::Relaxed)
    }

    pub fn has_started(&self) -> bool {
        self.started_at.get().is_some()
    }

    /// Whether its handler has started and neither ended nor was abandoned.
    pub fn is_running(&self) -> bool {
        self.has_started() && !self.has_ended()
    }

    /// Its handler has completed it in a transaction that may be rolled back.
    pub fn complete_in_transaction(&self) {
        self.completes.store(true, Ordering::Release);
    }

    /// The database has refused its completion in a transaction, for a reason that is not the job's.
    pub fn refuse_completion(&self) {
        self.completion_refused.store(true, Ordering::Release);
    }

    pub fn is_completion_refused(&self) -> bool {
        self.completion_refused.load(Ordering::Acquire)
    }

    /// Whether its handler may have completed it in a transaction.
    pub fn completes_in_transaction(&self) -> bool {
        self.completes.load(Ordering::Acquire)
    }

    /// Claims the right to free the slot and record the outcome. True for the first caller: a handler that was
    /// abandoned may still end by itself.
    pub fn end_once(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Whether its handler has ended or was abandoned.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// All jobs in flight.
#[derive(Default)]
pub(super) struct InFlightJobs {
    jobs: Mutex<HashMap<JobKey, Arc<InFlightJob>>>,
    /// At most one is left.
    one_left: Notify,
}

impl InFlightJobs {
    /// Adds a job that was just claimed. None if its handler still runs: a crash of the database has undone its
    /// earlier claim, and the run goes on under the new one. A job that has ended may be claimed again before this
    /// worker learns that its outcome was recorded. A job that only has the id of one in flight is another job: the
    /// one in flight is lost.
    pub fn insert(&self, new: &NewInFlightJob) -> Option<Arc<InFlightJob>> {
        let mut jobs = self.jobs.lock();
        if let Some(job) = jobs.get(&new.key)
            && job.stop_reason() != Some(StopReason::Lost)
            && !job.has_ended()
        {
            *job.fence.lock() = (new.fence.claim, new.fence.worker);
            return None;
        }
        let job = Arc::new(InFlightJob::new(new));
        jobs.insert(new.key, Arc::clone(&job));
        Some(job)
    }

    /// Removes a job whose outcome is recorded or was refused.
    pub fn release(&self, job: &Arc<InFlightJob>) {
        let mut jobs = self.jobs.lock();
        if jobs.get(&job.key).is_some_and(|current| Arc::ptr_eq(current, job)) {
            jobs.remove(&job.key);
        }
        if jobs.len() <= 1 {
            self.one_left.notify_one();
        }
    }

    /// The fences of all.
    pub fn fences(&self) -> Vec<Fence> {
        self.jobs.lock().values().map(|job| job.fence()).collect()
    }

    pub fn all(&self) -> Vec<Arc<InFlightJob>> {
        self.jobs.lock().values().cloned().collect()
    }

    /// Resolves when this is the only job in flight: the others have ended and are recorded. For one waiter at a
    /// time.
    pub async fn wait_until_alone(&self, key: JobKey) {
        while self.jobs.lock().keys().any(|job| *job != key) {
            self.one_left.notified().await;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.lock().is_empty()
    }
}
