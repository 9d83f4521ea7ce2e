//! Errors as `application/problem+json` (RFC 9457).
//!
//! Promises: every error the service answers with has this form, names the field at fault where
//! there is one, and tells nothing of what only the log should hold. What went wrong inside is
//! logged here, once.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio_postgres::error::SqlState;

use crate::Error;

/// The longest detail, in characters: it may quote what the client sent.
const MAX_DETAIL_CHARS: usize = 1000;
/// The longest name of a field, in characters, for the same reason.
const MAX_FIELD_CHARS: usize = 100;

/// An answer that says what is wrong.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The form on the wire. `about:blank` means that the title is the status spelled out.
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

    /// 400: the request itself is wrong, and will be wrong again.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400: a named part of the request is wrong. `problem` reads on after the name.
    pub fn invalid(field: impl Into<Cow<'static, str>>, problem: impl std::fmt::Display) -> Self {
        let field = shortened(field.into().into_owned(), MAX_FIELD_CHARS);
        Self { field: Some(field.clone()), ..Self::bad_request(format!("{field} {problem}")) }
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 503: worth another try soon.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 500: nothing of the cause is told, the log has it.
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
            Error::Invalid { field, problem } => Self::invalid(field, problem),
            Error::NotFound(_) => Self::not_found(error.to_string()),
            Error::Forbidden { .. } | Error::KeyTaken { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            other => {
                let passing = is_passing(&other);
                tracing::error!(error = %other, "request failed");
                if passing { Self::unavailable("the database cannot be reached at present") } else { Self::internal() }
            }
        }
    }
}

/// Whether the same request may well succeed a moment later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Connect(_) | Error::TimedOut(_) => true,
        // Without a code it is the connection that failed.
        Error::Database(cause) => cause.code().map_or(cause.is_closed() || is_io(cause), is_passing_code),
        _ => false,
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn is_passing_code(code: &SqlState) -> bool {
    let passing = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    // Class 08 is whatever goes wrong with a connection.
    code.code().starts_with("08") || passing.contains(code)
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
        // Strings and a number: this cannot fail, and an empty body would be no worse.
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
        let problem = Problem::from(Error::Connect("host secret.internal refused".into()));
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!problem.detail.contains("secret"));
    }
}
