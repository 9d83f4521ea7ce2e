//! Who may ask: the token rule.
//!
//! Promises: with a token set, every request but the two probes needs it, compared in constant
//! time; without one, the service listens on loopback addresses only. The token appears in no
//! log line, no error and no `Debug` output.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// Paths that an orchestrator probes without knowing the token.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// A secret that clients must show.
#[derive(Clone)]
pub(crate) struct Token(Arc<[u8]>);

impl Token {
    /// A token of visible ASCII characters, the only ones that a header can carry unchanged.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("WEB_TOKEN is empty: set it to a secret, or unset it".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("WEB_TOKEN must be of visible ASCII characters, without spaces".to_owned());
        }
        Ok(Self(text.as_bytes().into()))
    }

    fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Refuses an address that others can reach while nothing is asked of them.
pub(crate) fn check_bind(addr: SocketAddr, token: Option<&Token>) -> Result<(), String> {
    if addr.ip().to_canonical().is_loopback() || token.is_some() {
        return Ok(());
    }
    Err(format!(
        "{addr} can be reached from other machines, and WEB_TOKEN is not set: \
         set WEB_TOKEN to a secret, or bind to a loopback address such as 127.0.0.1:{}",
        addr.port()
    ))
}

/// Lets only those through who show the token, where there is one.
pub(crate) async fn guard(
    State(token): State<Option<Token>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let allowed = match &token {
        None => true,
        Some(_) if OPEN_PATHS.contains(&request.uri().path()) => true,
        Some(token) => shown(&request).is_some_and(|shown| token.is(shown)),
    };
    if allowed {
        return Ok(next.run(request).await);
    }
    let detail = "this service wants a token: send it as Authorization: Bearer TOKEN";
    Err(Problem::new(StatusCode::UNAUTHORIZED, detail).header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
}

fn shown(request: &Request) -> Option<&[u8]> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_loopback_may_be_bound_without_a_token() -> Result<(), Box<dyn std::error::Error>> {
        let token = Token::new("s3cret")?;
        for (addr, without_token) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
        ] {
            let addr: SocketAddr = addr.parse()?;
            assert_eq!(check_bind(addr, None).is_ok(), without_token, "{addr}");
            assert!(check_bind(addr, Some(&token)).is_ok(), "{addr}");
        }
        Ok(())
    }

    #[test]
    fn a_token_is_compared_whole_and_never_shown() -> Result<(), String> {
        let token = Token::new("s3cret")?;
        assert!(token.is(b"s3cret"));
        for other in ["", "s3cre", "s3cret!", "S3cret"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert!(!format!("{token:?}").contains("s3cret"));
        for bad in ["", "a b", "a\n", "ü"] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn only_the_token_itself_lets_anybody_through(header in prop::collection::vec(any::<u8>(), 0..40), ours in "[!-~]{1,20}") {
            let token = Token::new(&ours).expect("visible ASCII");
            for value in [header.clone(), [b"Bearer ".as_slice(), &header].concat(), [b"bearer ", ours.as_bytes()].concat()] {
                let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
                let mut request = Request::new(axum::body::Body::empty());
                request.headers_mut().insert(AUTHORIZATION, value.clone());
                let shown_ours = value.as_bytes().get(7..).is_some_and(|rest| rest.trim_ascii() == ours.as_bytes())
                    && value.as_bytes()[..7].eq_ignore_ascii_case(b"Bearer ");
                prop_assert_eq!(shown(&request).is_some_and(|shown| token.is(shown)), shown_ours);
            }
        }
    }
}
