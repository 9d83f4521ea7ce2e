//! Stopping work at a chosen point, as a crash would.

use std::future::{Future, poll_fn};
use std::task::Poll;

use super::object_store::TestObjectStore;

/// The future's result, or `None` if it was not ready after this many polls. Then it is dropped.
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

/// Runs the future until it stalls at the store, as [`TestObjectStore::stall_at`] demands.
pub async fn run_until_stalled<F: Future + Unpin>(store: &TestObjectStore, future: &mut F) {
    tokio::select! {
        _ = future => panic!("it came to its end and did not stall"),
        () = store.stalled() => {}
    }
}
