//! Claims whose answer was lost: this worker may own jobs that it does not know of.
//!
//! Promise: those jobs are released, even if such a claim takes effect some seconds later.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::postgres::within;
use crate::store::claim;
use crate::store::session::Session;
use crate::worker::claim::fetcher::CLAIM_TIMEOUT;
use crate::worker::handles::WorkerHandles;

/// How long after its start an unanswered claim may take effect.
const TAKES_EFFECT_WITHIN: Duration = Duration::from_secs(10);
/// How often to check until then.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The unanswered claims.
#[derive(Default)]
pub(in crate::worker) struct UnansweredClaims(Option<Window>);

struct Window {
    until: Instant,
    next_check: Instant,
}

impl UnansweredClaims {
    /// Adds a claim that began at `began` and was not answered.
    pub fn add(&mut self, began: Instant) {
        self.0 = Some(Window { until: began + TAKES_EFFECT_WITHIN, next_check: began });
    }

    /// Whether no claim is unanswered.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// When to check next.
    pub fn next_check(&self) -> Option<Instant> {
        self.0.as_ref().map(|window| window.next_check)
    }

    /// Releases the jobs that have appeared, if a check is due. It reads the whole table. A check that times out is
    /// retried later, and claims go on.
    pub async fn check(&mut self, handles: &WorkerHandles, session: &Session) {
        let Some(window) = self.0.take_if(|window| window.next_check <= Instant::now()) else { return };
        let is_over = match within(CLAIM_TIMEOUT, release(handles, session)).await {
            Ok(count) => {
                if count > 0 {
                    tracing::warn!(count, "released the jobs of an unanswered claim");
                }
                Instant::now() >= window.until
            }
            Err(error) => {
                tracing::warn!(%error, "the jobs of an unanswered claim could not be released; trying again");
                false
            }
        };
        self.0 = (!is_over).then(|| Window { next_check: Instant::now() + CHECK_EVERY, ..window });
    }

    /// Releases the jobs that have appeared by now, before the worker ends. A claim may still take effect later, so it
    /// stays unanswered.
    pub async fn check_last(&self, handles: &WorkerHandles) {
        let settled = async {
            let session = claim::open_session(&handles.database, handles.is_direct()).await?;
            release(handles, &session).await
        };
        if let Err(error) = within(CLAIM_TIMEOUT, settled).await {
            tracing::warn!(%error, "the jobs of an unanswered claim could not be released");
        }
    }
}

async fn release(handles: &WorkerHandles, session: &Session) -> Result<usize, Error> {
    claim::release_not_in_flight(session, handles.lease.worker_id(), &handles.in_flight.fences()).await
}
