//! Asks for jobs that are new to the waits, and for those whose notification may have been lost.
//!
//! Promise: one statement at a time, for up to 1,000 jobs, whatever the number of waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;

/// A question that failed is repeated after this time.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(super) async fn run(shared: Arc<Shared>) {
    let sweeping = async {
        loop {
            let question = shared.watched.due(AFTER_ERROR).await;
            if let Err(error) = shared.ask(&question).await {
                tracing::debug!(jobs = question.ids.len(), %error, "cannot ask for awaited jobs");
                shared.watched.refused(&question);
                sleep(AFTER_ERROR).await;
            }
        }
    };
    let _: Option<()> = shared.stop.run_until_cancelled(sweeping).await;
}
