//! Errors as `application/problem+json` (RFC 9457).
//!
//! Promises: every error has this form, names the field at fault if there is one, and contains nothing that only the
//! log should have. An internal error is logged here, once.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::Error;

/// The longest detail, in characters: it may quote the client.
const MAX_DETAIL_CHARS: usize = 1000;
/// The longest name of a field, in characters, for the same reason.
const MAX_FIELD_CHARS: usize = 100;
/// The detail if the role of the service may not do what it needs to.
pub(super) const LACKS_A_RIGHT: &str =
    "the role of the service lacks a right in the database, which its log names: run `worker roles | psql`";

/// An error answer.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The JSON form. `about:blank` means that the title is the status text.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = shortened(detail.into(), MAX_DETAIL_CHARS);
        Self { status, detail, field: None, headers: Vec::new() }
    }

    /// 400: the request is wrong, and will be wrong again.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400: a part of the request is wrong. `problem` is worded to follow its name.
    pub fn invalid(field: impl Into<Cow<'static, str>>, problem: impl std::fmt::Display) -> Self {
        let field = shortened(field.into().into_owned(), MAX_FIELD_CHARS);
        Self { field: Some(field.clone()), ..Self::bad_request(format!("{field} {problem}")) }
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: worth retrying soon.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 500: the cause is only in the log.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; its log says why")
    }

    pub fn with_field(mut self, field: &'static str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, problem, .. } => Self::invalid(field, problem),
            Error::NotFound(_) => Self::not_found(error.to_string()),
            Error::InvalidState { .. } | Error::KeyTaken { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            other => {
                tracing::error!(error = %other, "request failed");
                if other.lacks_schema() {
                    Self::unavailable("the schema is missing or older than this release needs: run `worker migrate`")
                } else if other.lacks_privilege() {
                    Self::unavailable(LACKS_A_RIGHT)
                } else if other.is_locked_out() {
                    Self::unavailable("another transaction holds what the request needs")
                } else if other.is_cut_short() {
                    Self::unavailable("the database did not answer in time")
                } else if other.is_transient() {
                    Self::unavailable("the database cannot be reached at present")
                } else {
                    Self::internal()
                }
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        // Strings and a number: this cannot fail, and an empty body would be acceptable.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response
    }
}

fn shortened(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_is_quoted_only_in_part() {
        let problem = Problem::invalid("é".repeat(5000), "is unknown");
        assert_eq!(problem.field.unwrap_or_default().chars().count(), MAX_FIELD_CHARS + 1);
        assert!(Problem::bad_request("é".repeat(5000)).detail.chars().count() <= MAX_DETAIL_CHARS + 1);
    }

    #[test]
    fn a_refused_field_is_named_and_a_failing_database_is_not_described() {
        let problem = Problem::from(Error::invalid("kind", "is empty"));
        assert_eq!((problem.status, problem.field.as_deref()), (StatusCode::BAD_REQUEST, Some("kind")));
        let problem = Problem::from(Error::connect("host secret.internal refused"));
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!problem.detail.contains("secret"));
    }
}
