//! Waiting for an event with a deadline, never for a time.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long to wait for what should happen at once: machines are noisy, and a test that fails
/// takes longer to understand than to wait for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again and again until the answer is some value; panics with `what` after `limit`.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The value of `event`, or a panic with `what` after `limit`.
pub async fn within<T>(what: &str, limit: Duration, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, event).await.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}
