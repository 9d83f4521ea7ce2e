//! Asks for jobs whose notification may have been lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;

/// Two statements are at least this far apart, whatever the number of waits.
const PAUSE: Duration = Duration::from_millis(20);
/// A question that failed is repeated after this time.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(super) async fn run(shared: Arc<Shared>) {
    let sweeping = async {
        loop {
            let ids = shared.watched.due(AFTER_ERROR).await;
            if let Err(error) = shared.look_at(&ids).await {
                tracing::debug!(jobs = ids.len(), %error, "cannot ask for awaited jobs");
                sleep(AFTER_ERROR).await;
            }
            sleep(PAUSE).await;
        }
    };
    let _: Option<()> = shared.stop.run_until_cancelled(sweeping).await;
}
