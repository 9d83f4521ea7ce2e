//! Access: the token, and the rules for browsers.
//!
//! Promises:
//! - With a token, every request except the two probes needs it. It is compared in constant time.
//! - Without a token, the service listens only on loopback addresses, and answers only to loopback names and those in
//!   `WEB_HOSTS`: a web page whose name was made to resolve to loopback (DNS rebinding) gets nothing.
//! - With or without a token, no page of another origin changes anything.
//! - The token appears in no log line, error or `Debug` output.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// Paths that an orchestrator probes without the token.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// A secret that clients must send.
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

/// Refuses an address that others can reach while no token is required.
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

/// The rules of access.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// The required token.
    pub token: Option<Token>,
    /// The host names, besides those of loopback, that a service without a token accepts. None: any. Pages of these
    /// hosts, with the port if there is one, count as its own, even if a proxy rewrites `Host`.
    pub hosts: Option<Arc<[String]>>,
}

/// Lets only permitted requests through.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Result<Response, Problem> {
    access.check_host(&request)?;
    access.check_token(&request)?;
    access.check_origin(&request)?;
    Ok(next.run(request).await)
}

impl Access {
    fn check_token(&self, request: &Request) -> Result<(), Problem> {
        let allowed = match &self.token {
            None => true,
            Some(_) if OPEN_PATHS.contains(&request.uri().path()) => true,
            Some(token) => shown(request).is_some_and(|shown| token.is(shown)),
        };
        if allowed {
            return Ok(());
        }
        let detail = "this service wants a token: send it as Authorization: Bearer TOKEN";
        Err(Problem::new(StatusCode::UNAUTHORIZED, detail).header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
    }

    fn check_host(&self, request: &Request) -> Result<(), Problem> {
        let (None, Some(hosts)) = (&self.token, &self.hosts) else { return Ok(()) };
        if OPEN_PATHS.contains(&request.uri().path()) {
            return Ok(());
        }
        // A browser always sends the header.
        let Some(asked) = authority(request) else { return Ok(()) };
        let name = host_name(&asked);
        if is_loopback(name)
            || hosts.iter().any(|host| host.eq_ignore_ascii_case(name) || host.eq_ignore_ascii_case(&asked))
        {
            return Ok(());
        }
        let detail = format!("this service is not {name}: ask for it as localhost, or name that host in WEB_HOSTS");
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
    }

    /// A browser sends the origin of a request. Only our own origin may change anything.
    fn check_origin(&self, request: &Request) -> Result<(), Problem> {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
        let is_foreign = match (header(ORIGIN), header(HeaderName::from_static("sec-fetch-site"))) {
            (_, Some(site)) if site.eq_ignore_ascii_case("cross-site") || site.eq_ignore_ascii_case("same-site") => {
                true
            }
            (Some(origin), _) => {
                let from = origin.split_once("://").map(|(_, authority)| authority);
                !from.is_some_and(|from| self.is_own(from, authority(request).as_deref()))
            }
            (None, _) => false,
        };
        if is_foreign {
            let detail = "a page of another origin may not change anything here";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Ok(())
    }

    /// Whether a page of the origin `from` belongs to the service that was `asked`.
    fn is_own(&self, from: &str, asked: Option<&str>) -> bool {
        asked.is_some_and(|asked| asked.eq_ignore_ascii_case(from))
            || self.hosts.iter().flat_map(|hosts| hosts.iter()).any(|host| host.eq_ignore_ascii_case(from))
    }
}

/// The host of the request, with the port if there is one.
fn authority(request: &Request) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str().to_owned());
    }
    request.headers().get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
}

/// Removes the port, and the brackets of an address.
fn host_name(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    authority.split_once(':').map_or(authority, |(name, _)| name)
}

fn is_loopback(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
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

    fn asked(method: Method, headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request::new(axum::body::Body::empty());
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        request
    }

    #[test]
    fn a_service_without_a_token_answers_to_names_of_loopback_and_to_configured_ones() {
        let access = Access { token: None, hosts: Some(["box.lan".to_owned(), "other:81".to_owned()].into()) };
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8080",
            "app.localhost",
            "box.lan:8080",
            "Box.lan",
            "other:81",
        ] {
            assert!(access.check_host(&asked(Method::GET, &[("host", good)])).is_ok(), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "other:82",
            "",
            "[::2]",
        ] {
            assert!(access.check_host(&asked(Method::GET, &[("host", bad)])).is_err(), "{bad}");
        }
        assert!(access.check_host(&asked(Method::GET, &[])).is_ok());
    }

    #[test]
    fn only_a_page_of_its_own_changes_anything() {
        let host = ("host", "localhost:8080");
        let access = Access { token: None, hosts: Some(["jobs.example".to_owned(), "box.lan:81".to_owned()].into()) };
        for good in [
            &[host][..],
            &[host, ("origin", "https://jobs.example")],
            &[host, ("origin", "http://box.lan:81")],
            &[host, ("origin", "http://localhost:8080")],
            &[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(access.check_origin(&asked(Method::POST, good)).is_ok(), "{good:?}");
        }
        for bad in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "http://localhost:8081")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://box.lan")],
            &[host, ("origin", "http://jobs.example:81")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[("origin", "http://localhost:8080")],
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert!(access.check_origin(&asked(method.clone(), bad)).is_err(), "{method} {bad:?}");
            }
            assert!(access.check_origin(&asked(Method::GET, bad)).is_ok(), "{bad:?}");
        }
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
