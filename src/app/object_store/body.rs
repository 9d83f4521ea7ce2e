//! Streams of bytes to and from the object store, a few chunks at a time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{self, BoxStream};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::app::AppError;

/// The bytes of an object, in chunks.
pub type ObjectStream = BoxStream<'static, Result<Bytes, AppError>>;

/// Chunks buffered between the reader of an upload and its sender.
const CHUNKS_AHEAD: usize = 4;

/// The input of an upload.
pub(crate) type BodyFeed = mpsc::Sender<Bytes>;

/// Returns the input and the body of an upload of `length` bytes. Dropping the input early aborts the upload: the
/// store receives fewer bytes than announced.
pub(crate) fn upload_body(length: u64) -> (BodyFeed, SdkBody) {
    let (feed, chunks) = mpsc::channel(CHUNKS_AHEAD);
    (feed, SdkBody::from_body_1_x(FedBody { chunks, remaining: length }))
}

/// A body of known length that receives its chunks through a channel, so that the source need not be `Sync` and the
/// reader handles its errors.
struct FedBody {
    chunks: mpsc::Receiver<Bytes>,
    remaining: u64,
}

/// The input was dropped before the announced length was reached.
#[derive(Debug, thiserror::Error)]
#[error("the upload broke off {0} bytes before its end")]
struct BrokenOff(u64);

impl Body for FedBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        self.chunks.poll_recv(cx).map(|chunk| match chunk {
            Some(chunk) => {
                self.remaining = self.remaining.saturating_sub(chunk.len() as u64);
                Some(Ok(Frame::data(chunk)))
            }
            None => Some(Err(BrokenOff(self.remaining))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// The bytes of a response. Ends with an error if no bytes arrive for `idle`.
pub(super) fn object_stream(body: ByteStream, idle: Duration) -> ObjectStream {
    let chunks: Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(stream::try_unfold(body, move |mut body| async move {
            let operation = "reading an object";
            match timeout(idle, body.try_next()).await {
                Ok(Ok(chunk)) => Ok(chunk.map(|chunk| (chunk, body))),
                Ok(Err(error)) => Err(AppError::storage(operation, error.to_string())),
                Err(_) => Err(AppError::storage(operation, format!("no bytes within {} ms", idle.as_millis()))),
            }
        }));
    chunks
}
