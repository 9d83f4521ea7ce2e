//! Accepting connections, and ending them.
//!
//! Promises: at most 1,024 connections at once, the rest wait to be accepted; once the shutdown
//! begins no more are accepted, requests being handled may end within 10 s, and are cut off at
//! once when the shutdown is hurried.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use crate::Shutdown;

/// The most connections at once.
const MAX_CONNECTIONS: usize = 1024;
/// How long requests may go on once the shutdown has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Requests being handled when the shutdown began that ended by themselves.
    pub completed: usize,
    /// Requests that were cut off.
    pub abandoned: usize,
}

/// Serves until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) -> Drained {
    let (connections, requests) = (TaskTracker::new(), TaskTracker::new());
    let cut = CancellationToken::new();
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Some((stream, slot)) = next(&listener, &slots, shutdown).await {
        let served = connection::serve(stream, router.clone(), requests.clone(), shutdown.clone());
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = served => {}
                () = cut.cancelled() => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    let open = requests.len();
    tokio::select! {
        () = connections.wait() => {}
        () = shutdown.hurried() => {}
        () = tokio::time::sleep(DRAIN_TIMEOUT) => {}
    }
    let abandoned = requests.len();
    cut.cancel();
    connections.wait().await;
    Drained { completed: open.saturating_sub(abandoned), abandoned }
}

/// The next connection with its slot; none once the shutdown has begun.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accept = async {
        // The semaphore is never closed, so that a slot is only ever waited for.
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slot)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.begun() => None,
        accepted = accept => accepted,
    }
}
