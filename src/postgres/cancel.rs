//! Cancels the statement that runs on a connection.
//!
//! Promise: on success the server has handled the request, so it cannot cancel a later statement of the session. Like
//! libpq, and unlike tokio-postgres, it waits until the server closes the connection of the request. `PgBouncer` 1.18
//! crashes if the client closes it first.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Socket};

use super::dial::Target;
use super::endpoint::Endpoint;
use super::tls::Connector;
use super::wire::Wire;

/// Sends the cancel request to each address of the target, because the address of the connection is not known. A
/// server that does not know the token ignores it.
///
/// # Errors
/// If no address could be reached, or a reached one did not handle the request.
pub(super) async fn cancel(target: Arc<Target>, token: CancelToken) -> io::Result<()> {
    let mut asked = Vec::new();
    for endpoint in target.endpoints().to_vec() {
        for address in endpoint.addresses(super::deadline::CANCEL_WITHIN).await {
            asked.push(ask(endpoint.clone(), address, token.clone(), target.connector()).boxed());
        }
    }
    let mut outcome = Err(io::ErrorKind::NotConnected.into());
    for answer in join_all(asked).await {
        match answer {
            Answer::NotReached => {}
            Answer::Done => outcome = Ok(()),
            Answer::Failed(error) => return Err(error),
        }
    }
    outcome
}

enum Answer {
    NotReached,
    Done,
    Failed(io::Error),
}

async fn ask(endpoint: Endpoint, address: Option<IpAddr>, token: CancelToken, mut connector: Connector) -> Answer {
    let Ok(wire) = endpoint.wire(address).await else { return Answer::NotReached };
    let tls = match connector.make_tls_connect(endpoint.host()) {
        Ok(tls) => UntilClosedConnect(tls),
        Err(error) => return Answer::Failed(io::Error::other(error)),
    };
    match token.cancel_query_raw(UntilClosed(wire), tls).await {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Failed(io::Error::other(error)),
    }
}

/// A stream that shuts down only after the server has closed it.
struct UntilClosed<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scrap = [0; 64];
        loop {
            let mut read = ReadBuf::new(&mut scrap);
            match ready!(Pin::new(&mut self.0).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {}
                // Closed, even if TLS was not shut down properly.
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for UntilClosed<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

type Plain = UntilClosed<Wire>;
type Encrypting = <Connector as MakeTlsConnect<Socket>>::TlsConnect;
type Encrypted = UntilClosed<<Encrypting as TlsConnect<Plain>>::Stream>;

/// Encrypts a stream and shuts it down only after the server has closed it.
struct UntilClosedConnect(Encrypting);

impl TlsConnect<Plain> for UntilClosedConnect {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Plain) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async move { connecting.await.map(UntilClosed).map_err(io::Error::other) })
    }
}
