//! One connection of a client, HTTP/1.1.
//!
//! Promises: every wait for the client has a limit (head, body, answer, draining). An answer given before the whole
//! body was read still reaches the client.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use axum::response::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt;

use super::slots::{IdleConnection, Slot};
use super::write_timeout_stream::WriteTimeoutStream;
use crate::worker::Shutdown;

/// The time limit of a request's head, from the connection or the last answer on.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may stay unread.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// The largest head, in bytes, and the size of the buffers.
const BUFFER_BYTES: usize = 64 * 1024;
/// The most headers.
const MAX_HEADERS: usize = 64;
/// How long, and how many bytes, a client that is still sending is read after its answer.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const DRAIN_BYTES: usize = 16 * 1024 * 1024;

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Serves requests until the client or `shutdown` ends it. `requests` counts those in progress, each until the last
/// byte of its answer.
pub(super) fn serve(
    stream: TcpStream,
    router: Router,
    slot: &Slot,
    requests: TaskTracker,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + use<> {
    serve_on(stream, router, slot.idle.clone(), slot.only_probes, requests, shutdown)
}

async fn serve_on(
    stream: TcpStream,
    router: Router,
    idle: IdleConnection,
    only_one: bool,
    requests: TaskTracker,
    shutdown: Shutdown,
) {
    // Answers are written whole, so holding back their last packet gains nothing.
    let _ = stream.set_nodelay(true);
    let unread = Arc::new(AtomicBool::new(false));
    let left_unread = Arc::clone(&unread);
    let asked = idle.clone();
    let service = service_fn(move |request: Request<Incoming>| -> Answer {
        let left_unread = Arc::clone(&left_unread);
        left_unread.store(false, Ordering::Relaxed);
        let unread = Arc::clone(&left_unread);
        let request = request.map(|body| Body::new(Watched { body, unread }));
        let answered = router.clone().oneshot(request);
        let counted = Underway::begin(asked.clone(), requests.token());
        Box::pin(async move {
            let mut answer = answered.await?;
            if only_one || left_unread.load(Ordering::Relaxed) {
                // Announced, so that the client sends no further request into a closing connection.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| Body::new(Counted { body, _until_sent: counted })))
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(WriteTimeoutStream::new(stream, WRITE_PATIENCE)), service);

    let mut asked_to_end = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = shutdown.begun(), if !asked_to_end => {
                asked_to_end = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = idle.to_close(), if !asked_to_end => {
                asked_to_end = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(%error, "connection ended");
    }
    let mut stream = connection.into_parts().io.into_inner().into_inner();
    let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
    if unread.load(Ordering::Relaxed) {
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain_request(&stream)).await;
    }
}

/// Reads and discards what a client still sends. If the connection were closed instead, the client's system would
/// discard our answer unread.
async fn drain_request(stream: &TcpStream) {
    let mut scrap = vec![0; 16 * 1024];
    let mut heard = 0;
    while heard < DRAIN_BYTES && stream.readable().await.is_ok() {
        match stream.try_read(&mut scrap) {
            Ok(0) => return,
            Ok(read) => heard += read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A request in progress, until the last byte of its answer is sent or dropped.
struct Underway {
    connection: IdleConnection,
    _counted: TaskTrackerToken,
}

impl Underway {
    fn begin(connection: IdleConnection, counted: TaskTrackerToken) -> Self {
        connection.set_idle(false);
        Self { connection, _counted: counted }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.connection.set_idle(true);
    }
}

/// The body of an answer, with a guard that ends once it is sent or dropped.
struct Counted {
    body: Body,
    _until_sent: Underway,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request. Reports whether it was dropped before its end.
struct Watched {
    body: Incoming,
    unread: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.unread.store(true, Ordering::Relaxed);
        }
    }
}
