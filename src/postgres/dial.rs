//! Connecting to a database.
//!
//! Promises: each attempt has a time limit; a dead host, or a dead address of a host, leaves time for the others; a
//! certificate is checked against the name of the host that was connected to; no error repeats the password.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{LoadBalanceHosts, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Connection, Socket};

use super::config::Options;
use super::endpoint::Endpoint;
use super::problem::Problem;
use super::tls::{Connector, Stream};
use crate::error::{Cause, Error, describe};

/// A connection, and the task that drives it.
pub(super) type Opened = (Client, Connection<Socket, Stream>);

/// A database that can be connected to.
pub(super) struct Target(Options);

/// Why connecting to an endpoint failed.
enum Failure {
    Refused(tokio_postgres::Error),
    NoAnswer(Duration),
}

impl Failure {
    /// Whether Postgres itself answered. Its error is more useful to report than a closed address.
    fn is_an_answer(&self) -> bool {
        matches!(self, Self::Refused(error) if error.as_db_error().is_some())
    }

    /// Whether to report this failure rather than an earlier one.
    fn outweighs(&self, earlier: Option<&Self>) -> bool {
        self.is_an_answer() || !earlier.is_some_and(Self::is_an_answer)
    }

    fn into_cause(self) -> Cause {
        match self {
            Self::Refused(error) => error.into(),
            Self::NoAnswer(_) => no_answer(self.to_string()).into(),
        }
    }
}

/// The cause of an error for which no library has one.
pub(super) fn no_answer(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text.into())
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => out.write_str(&describe(error)),
            Self::NoAnswer(limit) => write!(out, "no answer within {} ms", limit.as_millis()),
        }
    }
}

impl Target {
    /// Parses a URL or a `key=value` string. The error is worded to follow the name of the variable.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        Options::parse(text).map(Self)
    }

    /// Another database of the same server.
    #[cfg(feature = "bin")]
    pub fn beside(&self, dbname: &str) -> Self {
        let mut options = self.0.clone();
        options.config.dbname(dbname);
        Self(options)
    }

    /// The longest time that [`Target::open`] takes.
    pub fn longest(&self) -> Duration {
        self.0.limit.saturating_mul(u32::try_from(self.0.endpoints.len()).unwrap_or(u32::MAX))
    }

    /// The configuration without an endpoint.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Connects to the first endpoint that accepts. `purpose` becomes part of the `application_name`, unless the URL
    /// sets one.
    pub async fn open(&self, purpose: &str) -> Result<Opened, Error> {
        let (mut problems, mut cause) = (Vec::new(), None);
        for endpoint in self.in_order() {
            match self.open_endpoint(endpoint, purpose).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => {
                    problems.push(format!("{endpoint}: {failure}"));
                    if failure.outweighs(cause.as_ref()) {
                        cause = Some(failure);
                    }
                }
            }
        }
        let error = Error::connect(problems.join("; "));
        Err(match cause {
            Some(failure) => error.caused_by(failure.into_cause()),
            None => error,
        })
    }

    /// The TLS connector.
    pub fn connector(&self) -> Connector {
        self.0.tls.connector.clone()
    }

    /// The endpoints of the URL.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.0.endpoints
    }

    fn in_order(&self) -> Vec<&Endpoint> {
        let mut endpoints: Vec<&Endpoint> = self.0.endpoints.iter().collect();
        if self.0.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            fastrand::shuffle(&mut endpoints);
        }
        endpoints
    }

    /// The addresses of a host share the time limit, so that a dead one does not use it up. Unused time goes to the
    /// next address.
    async fn open_endpoint(&self, endpoint: &Endpoint, purpose: &str) -> Result<Opened, Failure> {
        let deadline = Instant::now() + self.0.limit;
        let addresses = endpoint.addresses(self.0.limit).await;
        let mut failure = Failure::NoAnswer(self.0.limit);
        for (tried, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let latest = match timeout(share, self.open_address(endpoint, *address, purpose)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => Failure::Refused(error),
                Err(_) => Failure::NoAnswer(self.0.limit),
            };
            if latest.outweighs(Some(&failure)) {
                failure = latest;
            }
        }
        Err(failure)
    }

    async fn open_address(
        &self,
        endpoint: &Endpoint,
        address: Option<IpAddr>,
        purpose: &str,
    ) -> Result<Opened, tokio_postgres::Error> {
        let mut config = endpoint.config(&self.0.config, address);
        if config.get_application_name().is_none() {
            config.application_name(format!("postrider {purpose}"));
        }
        if endpoint.is_unix_socket() {
            // As in libpq: a Unix socket cannot be eavesdropped on, and Postgres has no TLS for it.
            config.ssl_mode(SslMode::Disable);
        }
        match config.connect(self.0.tls.connector.clone()).await {
            Err(error) if config.get_ssl_mode() == SslMode::Prefer && is_worth_a_plain_try(&error) => {
                config.ssl_mode(SslMode::Disable).connect(self.0.tls.connector.clone()).await
            }
            result => result,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, endpoint) in self.0.endpoints.iter().enumerate() {
            write!(out, "{}{endpoint}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Whether encryption failed, or the server accepts only unencrypted connections.
fn is_worth_a_plain_try(error: &tokio_postgres::Error) -> bool {
    let handshake_failed = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .and_then(io::Error::get_ref)
        .is_some_and(super::tls::is_tls_error);
    // The error for a connection without a matching line in pg_hba.conf.
    handshake_failed || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// Opens the connections of a pool.
pub(super) struct PoolConnector(pub Arc<Target>);

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for PoolConnector {
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async {
            let mut last = None;
            for endpoint in self.0.in_order() {
                match self.0.open_endpoint(endpoint, "pool").await {
                    Ok((client, connection)) => {
                        let driver = tokio::spawn(async {
                            // The user of the connection receives the error too, and logs it.
                            if let Err(error) = connection.await {
                                tracing::debug!(error = describe(&error), "pool connection lost");
                            }
                        });
                        return Ok((client, driver));
                    }
                    Err(Failure::Refused(error)) => last = Some(error),
                    Err(Failure::NoAnswer(_)) => {}
                }
            }
            match last {
                Some(error) => Err(error),
                // A timeout cannot be expressed as an error of tokio-postgres. All endpoints have used up their time,
                // so the pool's own limit, which is their sum, expires now.
                None => std::future::pending().await,
            }
        })
    }
}
