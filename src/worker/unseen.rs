//! Claims whose answer was lost: the database may hold jobs for this worker that it never saw.
//!
//! Promise: they are given back, also where such a claim takes effect some seconds later.

use std::time::{Duration, Instant};

use super::fetcher::CLAIM_TIMEOUT;
use super::shared::Shared;
use crate::Error;
use crate::database::within;
use crate::store::claim;
use crate::store::session::Session;

/// For how long after a claim without an answer its jobs may turn up as claimed.
const LASTS: Duration = Duration::from_secs(10);
/// How often to look for them meanwhile.
const LOOK: Duration = Duration::from_secs(2);

/// What may have been claimed unseen.
#[derive(Default)]
pub(super) struct Unseen(Option<Doubt>);

struct Doubt {
    /// When it ends.
    until: Instant,
    next_look: Instant,
}

impl Unseen {
    /// The answer to a claim that began then was lost.
    pub fn may_come_from(&mut self, began: Instant) {
        self.0 = Some(Doubt { until: began + LASTS, next_look: began });
    }

    /// Whether all that was claimed is known.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// When to look next.
    pub fn next_look(&self) -> Option<Instant> {
        self.0.as_ref().map(|doubt| doubt.next_look)
    }

    /// Gives back what has turned up, where it is time to look. That reads the whole table; where it
    /// takes too long it is tried again beside the claims, which go on.
    pub async fn look(&mut self, shared: &Shared, session: &Session) {
        let Some(doubt) = self.0.take_if(|doubt| doubt.next_look <= Instant::now()) else { return };
        let is_over = match within(CLAIM_TIMEOUT, give_back(shared, session)).await {
            Ok(count) => {
                if count > 0 {
                    tracing::warn!(count, "gave back jobs whose claim was never answered");
                }
                Instant::now() >= doubt.until
            }
            Err(error) => {
                tracing::warn!(%error, "jobs of a claim without an answer could not be given back; trying again");
                false
            }
        };
        self.0 = (!is_over).then(|| Doubt { next_look: Instant::now() + LOOK, ..doubt });
    }

    /// Gives back what has turned up by now, before the worker ends. What may still do so does not, so
    /// the doubt remains.
    pub async fn settle(&self, shared: &Shared) {
        let settled = async {
            let session = claim::open_session(&shared.database, shared.is_direct()).await?;
            give_back(shared, &session).await
        };
        if let Err(error) = within(CLAIM_TIMEOUT, settled).await {
            tracing::warn!(%error, "jobs of a claim without an answer could not be given back");
        }
    }
}

async fn give_back(shared: &Shared, session: &Session) -> Result<usize, Error> {
    claim::give_back_unheld(session, shared.lease.worker_id(), &shared.held.ids()).await
}
