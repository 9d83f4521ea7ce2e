//! The jobs that this worker holds: from their claim until their outcome is recorded.
//!
//! A job stays held while its outcome waits to be recorded, so that nobody takes it for lost in
//! between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::job::JobId;
use crate::store::finish::Fence;

/// Why a handler is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Somebody asked for the job to be cancelled.
    CancelRequested = 1,
    /// The attempt has taken too long.
    TimedOut = 2,
    /// The worker is shutting down and its time is up.
    ShuttingDown = 3,
    /// The job has been given to another attempt.
    Lost = 4,
}

/// One held job.
#[derive(Debug)]
pub(super) struct Held {
    pub id: JobId,
    pub kind: &'static str,
    pub queue: usize,
    pub attempt: i32,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
    pub cancel: CancellationToken,
    /// Unset while it waits for a slot.
    started_at: OnceLock<Instant>,
    fence: Mutex<(i32, Uuid)>,
    stop_reason: AtomicU8,
    stopped_at: Mutex<Option<Instant>>,
    /// Its handler has completed it in a transaction of its own, which may not be committed.
    completes: AtomicBool,
    /// Its handler has ended, or was given up.
    ended: AtomicBool,
}

/// What a held job is made from.
pub(super) struct NewHeld {
    pub fence: Fence,
    pub kind: &'static str,
    pub queue: usize,
    pub attempt: i32,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
}

impl Held {
    fn new(job: &NewHeld) -> Self {
        Self {
            id: job.fence.id,
            kind: job.kind,
            queue: job.queue,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            timeout: job.timeout,
            cancel: CancellationToken::new(),
            started_at: OnceLock::new(),
            fence: Mutex::new((job.fence.claim, job.fence.worker)),
            stop_reason: AtomicU8::new(0),
            stopped_at: Mutex::new(None),
            completes: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// The fence of its latest claim.
    pub fn fence(&self) -> Fence {
        let (claim, worker) = *lock(&self.fence);
        Fence { id: self.id, claim, worker }
    }

    /// Asks the handler to stop. The first reason stays, but for a loss, which outranks all.
    pub fn stop(&self, reason: StopReason) {
        if reason == StopReason::Lost {
            self.stop_reason.store(reason as u8, Ordering::Release);
        } else {
            let _ = self.stop_reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        }
        lock(&self.stopped_at).get_or_insert_with(Instant::now);
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
        *lock(&self.stopped_at)
    }

    /// Whether it runs for longer than its timeout and `margin` together: its own timer could not
    /// stop it.
    pub fn is_overdue(&self, margin: Duration) -> bool {
        let runs_for = self.started_at.get().map_or(Duration::ZERO, Instant::elapsed);
        self.timeout.is_some_and(|timeout| runs_for > timeout.saturating_add(margin))
    }

    /// Its attempt begins.
    pub fn start(&self) {
        self.started_at.get_or_init(Instant::now);
    }

    pub fn has_started(&self) -> bool {
        self.started_at.get().is_some()
    }

    /// Whether its handler has started and neither ended nor was given up.
    pub fn is_running(&self) -> bool {
        self.has_started() && !self.has_ended()
    }

    /// Its handler has completed it in a transaction that may yet be rolled back.
    pub fn complete_in_transaction(&self) {
        self.completes.store(true, Ordering::Release);
    }

    /// Whether its handler may have completed it in a transaction.
    pub fn completes_in_transaction(&self) -> bool {
        self.completes.load(Ordering::Acquire)
    }

    /// Claims the right to free the slot and to record the outcome: true for the first who asks,
    /// since a handler that was given up may still end by itself.
    pub fn end_once(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Whether its handler has ended or was given up.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// All jobs that the worker holds.
#[derive(Default)]
pub(super) struct HeldJobs {
    jobs: Mutex<HashMap<JobId, Arc<Held>>>,
    /// At most one is left.
    dwindled: Notify,
}

impl HeldJobs {
    /// Holds a job that was just claimed. None where its handler still runs: after a crash of the
    /// database has undone its claim, the run goes on under the new one. One that has ended may
    /// be claimed anew before this worker hears that its outcome was recorded.
    pub fn hold(&self, job: &NewHeld) -> Option<Arc<Held>> {
        let mut jobs = lock(&self.jobs);
        if let Some(held) = jobs.get(&job.fence.id)
            && held.stop_reason() != Some(StopReason::Lost)
            && !held.has_ended()
        {
            *lock(&held.fence) = (job.fence.claim, job.fence.worker);
            return None;
        }
        let held = Arc::new(Held::new(job));
        jobs.insert(job.fence.id, Arc::clone(&held));
        Some(held)
    }

    /// Forgets a job whose outcome is recorded, or was refused.
    pub fn release(&self, held: &Arc<Held>) {
        let mut jobs = lock(&self.jobs);
        if jobs.get(&held.id).is_some_and(|current| Arc::ptr_eq(current, held)) {
            jobs.remove(&held.id);
        }
        if jobs.len() <= 1 {
            self.dwindled.notify_one();
        }
    }

    pub fn get(&self, id: JobId) -> Option<Arc<Held>> {
        lock(&self.jobs).get(&id).cloned()
    }

    pub fn ids(&self) -> Vec<JobId> {
        lock(&self.jobs).keys().copied().collect()
    }

    pub fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.jobs).values().cloned().collect()
    }

    /// Resolves when no other job than this one is held: all others have ended, and are recorded. For one
    /// who waits at a time.
    pub async fn only(&self, id: JobId) {
        while lock(&self.jobs).keys().any(|held| *held != id) {
            self.dwindled.notified().await;
        }
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.jobs).is_empty()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks; if it did, the value would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
