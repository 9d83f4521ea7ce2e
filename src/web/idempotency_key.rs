//! The header `Idempotency-Key`: the same key gives the same answer.

use axum::extract::OptionalFromRequestParts;
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};

use super::jobs;
use super::problem::Problem;
use crate::app::idempotency::{self, Reservation};
use crate::job::{Enqueued, NewJob};
use crate::postgres::LimitedTransaction;

const HEADER: &str = "Idempotency-Key";
/// The longest key, in characters.
const MAX_CHARS: usize = 255;

/// A client's key for its request.
pub(crate) struct IdempotencyKey(String);

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        let mut given = parts.headers.get_all(HEADER).iter();
        let Some(key) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(Problem::invalid(HEADER, "is given twice"));
        }
        let key = key.as_bytes();
        if !(1..=MAX_CHARS).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
            return Err(Problem::invalid(HEADER, format!("must be 1 to {MAX_CHARS} visible ASCII characters")));
        }
        Ok(Some(Self(String::from_utf8_lossy(key).into_owned())))
    }
}

impl IdempotencyKey {
    /// Enqueues the job, unless the same request was answered within 24 h: then returns that answer. Call it in a
    /// transaction that is committed afterwards.
    pub async fn once(
        &self,
        tx: &LimitedTransaction,
        request: &str,
        job: NewJob,
    ) -> Result<(Enqueued, String), Problem> {
        match idempotency::reserve(tx, &self.0, request).await? {
            Reservation::New => {
                let (enqueued, response) = jobs::add(tx, job).await?;
                idempotency::record(tx, &self.0, enqueued, &response).await?;
                Ok((enqueued, response))
            }
            Reservation::Repeated { enqueued, response } => Ok((enqueued, response)),
            Reservation::Different => {
                let detail = format!("{HEADER} was used for a request with another body: choose a new key");
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_field(HEADER))
            }
            Reservation::Busy => {
                let detail = format!("a request with the same {HEADER} is still being handled: try again");
                Err(Problem::new(StatusCode::CONFLICT, detail)
                    .with_field(HEADER)
                    .header(RETRY_AFTER, HeaderValue::from_static("1")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_is_taken_whole_or_refused(value in prop::collection::vec(any::<u8>(), 0..300), twice in any::<bool>()) {
            let Ok(header) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut request = Request::new(());
            request.headers_mut().append(HEADER, header.clone());
            if twice {
                request.headers_mut().append(HEADER, header);
            }
            let (mut parts, ()) = request.into_parts();
            let read = futures_util::FutureExt::now_or_never(IdempotencyKey::from_request_parts(&mut parts, &()));
            match read.expect("it waits for nothing") {
                Ok(Some(IdempotencyKey(key))) => prop_assert!(!twice && key.as_bytes() == value),
                Ok(None) => prop_assert!(false, "it was overlooked"),
                Err(_) => prop_assert!(
                    twice || value.is_empty() || value.len() > MAX_CHARS || !value.iter().all(u8::is_ascii_graphic)
                ),
            }
        }
    }
}
