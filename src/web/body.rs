//! JSON bodies: limited in size and time, with a JSON content type.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::problem::Problem;
use crate::job::MAX_ARGS_BYTES;

/// The largest JSON body, in bytes: the largest args and room for the other fields.
pub(crate) const MAX_JSON_BYTES: usize = MAX_ARGS_BYTES + 64 * 1024;
/// How long a client may take to send one.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// The bytes of a body of type `application/json`, not yet parsed.
pub(crate) struct JsonBody(pub Bytes);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must be JSON: send it with Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        // If the length is known, refused unread, so that it need not be sent.
        if content_length(request.headers()).is_some_and(|length| length > MAX_JSON_BYTES as u64) {
            return Err(too_large());
        }
        Ok(Self(collect(request.into_body()).await?))
    }
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_JSON_BYTES).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::bad_request("the body ended before it was complete")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", READ_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MAX_JSON_BYTES} bytes"))
}

/// The length that the request declares. hyper has refused bad ones.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(declared)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let media_type = declared.split_once(';').map_or(declared, |(media_type, _)| media_type);
    media_type.trim().eq_ignore_ascii_case("application/json")
}
