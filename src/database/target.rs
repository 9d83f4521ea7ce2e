//! A database that can be connected to, and the connecting itself.
//!
//! Promises: no attempt is without a limit; a dead host, or a dead address of a host, leaves
//! time for the others; the name that a certificate is checked against is that of the host
//! connected to; no error repeats the password.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
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

use super::endpoint::Endpoint;
use super::options::Options;
use super::tls::Stream;
use crate::Error;
use crate::error::describe;

/// A connection and what drives it.
pub(super) type Opened = (Client, Connection<Socket, Stream>);

/// A database that can be connected to.
pub(super) struct Target(Options);

/// Why there is no connection to an endpoint.
enum Failure {
    Refused(tokio_postgres::Error),
    NoAnswer(Duration),
}

impl Failure {
    /// Postgres itself spoke, which tells more than that some other address is closed.
    fn is_an_answer(&self) -> bool {
        matches!(self, Self::Refused(error) if error.as_db_error().is_some())
    }
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
    /// From a URL or a `key=value` string. The error says what is wrong with it, to be read
    /// after its name.
    pub fn parse(text: &str) -> Result<Self, String> {
        Options::parse(text).map(Self)
    }

    /// Another database of the same server.
    #[cfg(feature = "app")]
    pub fn beside(&self, dbname: &str) -> Self {
        let mut options = self.0.clone();
        options.config.dbname(dbname);
        Self(options)
    }

    /// The longest that [`Target::open`] takes.
    pub fn longest(&self) -> Duration {
        self.0.limit.saturating_mul(u32::try_from(self.0.endpoints.len()).unwrap_or(u32::MAX))
    }

    /// Settings without an endpoint, for those who only want to look.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// A connection to the first endpoint that takes us. `purpose` becomes part of the
    /// `application_name`, unless the URL sets one.
    pub async fn open(&self, purpose: &str) -> Result<Opened, Error> {
        let mut problems = Vec::new();
        for endpoint in self.in_order() {
            match self.open_endpoint(endpoint, purpose).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => problems.push(format!("{endpoint}: {failure}")),
            }
        }
        Err(Error::Connect(problems.join("; ")))
    }

    fn in_order(&self) -> Vec<&Endpoint> {
        let mut endpoints: Vec<&Endpoint> = self.0.endpoints.iter().collect();
        if self.0.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            fastrand::shuffle(&mut endpoints);
        }
        endpoints
    }

    /// The time is shared between the addresses of a host, so that a dead one does not use
    /// it up; what one leaves over goes to the next.
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
            if latest.is_an_answer() || !failure.is_an_answer() {
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
            // As libpq: nobody can listen in on a Unix socket, and Postgres has no TLS there.
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

/// Whether it was the encryption that failed, or the server takes only plain connections.
fn is_worth_a_plain_try(error: &tokio_postgres::Error) -> bool {
    let handshake_failed = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::get_ref)
        .is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>);
    // What pg_hba.conf answers to a connection that it has no line for.
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
                            // Who uses the connection gets the error too, and logs it.
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
                // Silence cannot be told as an error of tokio-postgres. All endpoints have
                // used up their time, so the pool's own limit, which is their sum, is here.
                None => std::future::pending().await,
            }
        })
    }
}
