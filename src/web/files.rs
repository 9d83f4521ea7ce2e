//! Files of tablos over HTTP, streamed to and from the object store.
//!
//! Promises: no file is ever held whole; whoever stops sending or reading is cut off after 30 s;
//! at most 64 files move at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::Web;
use super::answer::{created, text_of};
use super::body::content_length;
use super::parameters::PathParameters;
use super::problem::Problem;
use crate::app::files::{self, MAX_FILE_BYTES};

/// How long the next bytes of an upload may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most files moved at once.
const MAX_TRANSFERS: usize = 64;
/// What stands for itself in a path and in the name that a download suggests.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The files that may move at once.
pub(super) struct Transfers(Arc<Semaphore>);

impl Default for Transfers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_TRANSFERS)))
    }
}

impl Transfers {
    /// The right to move one file.
    fn begin(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0)
            .try_acquire_owned()
            .map_err(|_| Problem::unavailable(format!("{MAX_TRANSFERS} files are being moved already")))
    }
}

pub(super) async fn upload(
    State(web): State<Arc<Web>>,
    path: PathParameters,
    request: Request,
) -> Result<Response, Problem> {
    let (tablo_id, name) = file(path)?;
    let length = content_length(request.headers())
        .ok_or_else(|| Problem::new(StatusCode::LENGTH_REQUIRED, "send the file with its Content-Length"))?;
    if length > MAX_FILE_BYTES {
        let detail = format!("the file is {length} bytes, more than {MAX_FILE_BYTES}");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let _moving = web.transfers.begin()?;
    let body = without_pauses(request.into_body());
    let file = files::upload(&web.database, &web.objects, tablo_id, &name, length, body).await?;
    let location = format!("/tablos/{tablo_id}/files/{}", utf8_percent_encode(&file.name, &PLAIN));
    created(&location, text_of(&file)?)
}

/// The bytes of a body; an error once none have come for a while.
fn without_pauses(body: Body) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold(body.into_data_stream(), |mut chunks| async {
        match tokio::time::timeout(IDLE_TIMEOUT, chunks.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some((chunk, chunks))),
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Err(_) => Err(io::Error::other(format!("no bytes came within {} s", IDLE_TIMEOUT.as_secs()))),
        }
    })
}

pub(super) async fn download(State(web): State<Arc<Web>>, path: PathParameters) -> Result<Response, Problem> {
    let (tablo_id, name) = file(path)?;
    let moving = web.transfers.begin()?;
    let found = files::download(&web.database, &web.objects, tablo_id, &name).await?;
    let file = found.ok_or_else(|| Problem::not_found(format!("tablo {tablo_id} has no file {name:?}")))?;
    let body = file.body.inspect_err(move |error| {
        let _held_to_the_end = &moving;
        // The head is sent: all that can be done is to break off, which the client sees.
        tracing::error!(%error, "a download broke off");
    });

    let mut response = Body::from_stream(body).into_response();
    let suggested = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(&file.record.name, &PLAIN));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, file.record.size.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Percent-encoded, so that it is ASCII whatever the name.
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_str(&suggested).map_err(|_| Problem::internal())?);
    Ok(response)
}

fn file(mut path: PathParameters) -> Result<(Uuid, String), Problem> {
    Ok((path.parsed("id", "the id of a tablo")?, path.text("name")?))
}
