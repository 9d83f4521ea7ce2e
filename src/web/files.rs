//! Files of tablos over HTTP, streamed to and from the object store.
//!
//! Promises: no file is held in memory as a whole; a client that stops sending or reading is cut off after 30 s; at
//! most 64 files are transferred at once.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http_range_header::{StartPosition, parse_range_header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::Web;
use super::answer::{created, text_of};
use super::body::content_length;
use super::parameters::PathParameters;
use super::problem::Problem;
use crate::app::files::{self, FileRecord, MAX_FILE_BYTES};

/// How long the next bytes of an upload may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most concurrent transfers.
const MAX_TRANSFERS: usize = 64;
/// Characters that need no encoding in a path and in a suggested file name.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Limits the concurrent transfers.
pub(super) struct Transfers(Arc<Semaphore>);

impl Default for Transfers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_TRANSFERS)))
    }
}

impl Transfers {
    /// A permit for one transfer.
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
    let file = files::upload(&web.database_of_files, &web.objects, tablo_id, &name, length, body).await?;
    let location = format!("/tablos/{tablo_id}/files/{}", utf8_percent_encode(&file.name, &PLAIN));
    created(&location, text_of(&file)?)
}

/// The bytes of a body. An error if none arrive for a while.
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

/// A file, or the part that a `Range` header asks for, so that a download can be resumed.
pub(super) async fn download(
    State(web): State<Arc<Web>>,
    path: PathParameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (tablo_id, name) = file(path)?;
    let moving = web.transfers.begin()?;
    let part = |record: &FileRecord| asked_part(&headers, record).unwrap_or_default();
    let found = files::download(&web.database_of_files, &web.objects, tablo_id, &name, part).await?;
    let file = found.ok_or_else(|| no_file(tablo_id, &name))?;
    let part = asked_part(&headers, &file.record).map_err(|()| not_satisfiable(&file.record))?;
    let body = file.body.inspect_err(move |error| {
        let _held_to_the_end = &moving;
        // The head is sent, so the only way to report an error is to break off.
        tracing::error!(%error, "a download broke off");
    });
    let mut response = Body::from_stream(body).into_response();
    describe(&mut response, &file.record, part)?;
    Ok(response)
}

/// The headers of a download. Does not open the object.
pub(super) async fn head(State(web): State<Arc<Web>>, path: PathParameters) -> Result<Response, Problem> {
    let (tablo_id, name) = file(path)?;
    let record = files::find(&web.database_of_files, tablo_id, &name).await?.ok_or_else(|| no_file(tablo_id, &name))?;
    let mut response = StatusCode::OK.into_response();
    describe(&mut response, &record, None)?;
    Ok(response)
}

fn no_file(tablo_id: Uuid, name: &str) -> Problem {
    Problem::not_found(format!("tablo {tablo_id} has no file {name:?}"))
}

fn not_satisfiable(record: &FileRecord) -> Problem {
    let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("the file has {} bytes", record.size));
    match HeaderValue::from_str(&format!("bytes */{}", record.size)) {
        Ok(range) => problem.header(CONTENT_RANGE, range),
        Err(_) => problem,
    }
}

/// The requested part of a file: one range of bytes. None for the whole file, also if several are requested, if the
/// header is malformed, if the file is empty, or if it is for another file under the same name (`If-Range`). An error
/// if the file has no such part.
fn asked_part(headers: &HeaderMap, record: &FileRecord) -> Result<Option<RangeInclusive<u64>>, ()> {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else { return Ok(None) };
    if headers.get(IF_RANGE).is_some_and(|tag| tag.as_bytes() != entity_tag(record).as_bytes()) {
        return Ok(None);
    }
    let Ok(ranges) = parse_range_header(range) else { return Ok(None) };
    let [range] = ranges.ranges.as_slice() else { return Ok(None) };
    // An empty file has no parts.
    let Some(last) = record.size.checked_sub(1) else { return Ok(None) };
    if matches!(range.start, StartPosition::FromLast(length) if length > record.size) {
        return Ok(Some(0..=last));
    }
    ranges.validate(record.size).map(|mut ranges| ranges.pop()).map_err(|_| ())
}

/// Each upload has a new id, so an id identifies one content.
fn entity_tag(record: &FileRecord) -> String {
    format!("\"{}\"", record.id)
}

fn describe(response: &mut Response, record: &FileRecord, part: Option<RangeInclusive<u64>>) -> Result<(), Problem> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Problem::internal());
    let suggested = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(&record.name, &PLAIN));
    let length = part.as_ref().map_or(record.size, |part| part.end() - part.start() + 1);
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{}", part.start(), part.end(), record.size);
        response.headers_mut().insert(CONTENT_RANGE, value(&range)?);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, value(&entity_tag(record))?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Percent-encoded, so ASCII for any name.
    headers.insert(CONTENT_DISPOSITION, value(&suggested)?);
    Ok(())
}

fn file(mut path: PathParameters) -> Result<(Uuid, String), Problem> {
    Ok((path.parsed("id", "the id of a tablo")?, path.text("name")?))
}
