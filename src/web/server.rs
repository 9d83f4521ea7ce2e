//! Accepts connections and ends them.
//!
//! Promises: the number of connections is limited (`slots`). Once the shutdown begins, none is accepted, and requests
//! in progress may take 10 s more. They are cut off at the second signal.

use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::slots::{Slot, Slots};
use super::{connection, router};
use crate::worker::Shutdown;

/// How long requests may go on once the shutdown has begun.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The delay after a failed accept, e.g. because of too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Requests that were in progress when the shutdown began and ended by themselves.
    pub completed: usize,
    /// Requests that were cut off.
    pub abandoned: usize,
}

/// Serves until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) -> Drained {
    serve_within(Slots::default(), listener, router, shutdown).await
}

async fn serve_within(slots: Slots, listener: TcpListener, router: Router, shutdown: &Shutdown) -> Drained {
    let (connections, requests) = (TaskTracker::new(), TaskTracker::new());
    let cut = CancellationToken::new();
    let probes = router::only_probes(router.clone());
    while let Some((stream, slot)) = next(&listener, &slots, shutdown).await {
        let router = if slot.only_probes { &probes } else { &router };
        let served = connection::serve(stream, router.clone(), &slot, requests.clone(), shutdown.clone());
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
        () = shutdown.cut_off_requested() => {}
        () = tokio::time::sleep(DRAIN_TIMEOUT) => {}
    }
    let abandoned = requests.len();
    cut.cancel();
    connections.wait().await;
    Drained { completed: open.saturating_sub(abandoned), abandoned }
}

/// The next connection with its slot. None once the shutdown has begun.
async fn next(listener: &TcpListener, slots: &Slots, shutdown: &Shutdown) -> Option<(TcpStream, Slot)> {
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slots.take().await?)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    /// Sends a request on a new connection.
    async fn send(addr: std::net::SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    /// Reads until the server closes.
    async fn last_answer(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_all_connections_are_busy_probes_are_answered_and_nothing_else() {
        let gate = std::sync::Arc::new(Semaphore::new(0));
        let (slow, begun) = (std::sync::Arc::clone(&gate), std::sync::Arc::new(Semaphore::new(0)));
        let entered = std::sync::Arc::clone(&begun);
        let router = Router::new().route("/healthz", get(async || "well")).route(
            "/slow",
            get(async move || {
                entered.add_permits(1);
                let _ = slow.acquire().await;
                "done"
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let serving = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { serve_within(Slots::of(2, 1), listener, router, &shutdown).await }
        });
        let busy = [send(addr, "/slow").await, send(addr, "/slow").await];
        let _ = begun.acquire_many(2).await.unwrap();
        for _ in 0..3 {
            let probe = last_answer(send(addr, "/healthz").await).await;
            assert!(probe.starts_with("HTTP/1.1 200") && probe.contains("connection: close"), "{probe}");
            let other = last_answer(send(addr, "/slow").await).await;
            assert!(other.starts_with("HTTP/1.1 503") && other.contains("connection: close"), "{other}");
        }
        gate.add_permits(100);
        for mut stream in busy {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        // They are idle now, so they yield.
        let mut third = send(addr, "/slow").await;
        let mut answer = [0; 12];
        third.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        shutdown.begin();
        serving.await.unwrap();
    }
}
