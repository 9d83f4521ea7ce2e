//! Stopping work at a chosen point, as a crash would, and waiting with a deadline.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

/// No event of a test takes longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The future's result, or `None` where it was not done after so many polls; it is then dropped
/// where it stood.
pub async fn poll_at_most<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The future's result, within the deadline.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Asks again and again until the answer is yes, within the deadline. For what sends no event.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    soon(what, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
