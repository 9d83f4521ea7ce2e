//! The worker's side: how many jobs have been started, and when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::now;
use crate::report;

/// Counts the starts of handlers. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Tally(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    jobs: u64,
    warm_up: u64,
    seen: AtomicU64,
    /// Number and time of each start, where they are wanted.
    started: Option<Mutex<Vec<(u64, u64)>>>,
}

impl Tally {
    pub(crate) fn new(jobs: u64, warm_up: u64, recorded: bool) -> Self {
        Self(Arc::new(Inner { jobs, warm_up, seen: AtomicU64::new(0), started: recorded.then(Mutex::default) }))
    }

    /// To be called in the first line of a handler.
    ///
    /// # Panics
    /// Where nobody reads the answers any more: the process has no use then.
    #[allow(clippy::expect_used, reason = "see above")]
    pub fn start(&self, number: u64) {
        let Inner { jobs, warm_up, seen, started } = &*self.0;
        let at = started.as_ref().map(|_| now());
        let place = seen.fetch_add(1, Ordering::Relaxed) + 1;
        if let (Some(started), Some(at)) = (started, at)
            && place > *warm_up
        {
            started.lock().unwrap_or_else(PoisonError::into_inner).push((number, at));
        }
        if place == *warm_up {
            report::event("warm", now()).expect("standard output is open");
        }
        if place == warm_up + jobs {
            let empty = Mutex::default();
            let started = started.as_ref().unwrap_or(&empty).lock().unwrap_or_else(PoisonError::into_inner);
            report::handled(now(), &started).expect("standard output is open");
        }
    }
}
