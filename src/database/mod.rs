//! How to reach Postgres: URL, TLS, the pool, connections of their own, migrations.
//!
//! Promises: no connection attempt and no wait for the pool is without a limit, and no password
//! appears in an error or a log line. Knows nothing of jobs.
//!
//! # The URL
//!
//! `postgres://user:password@host:port/database?option=value&…`, or `key=value` pairs, as libpq
//! has them. Several hosts (`host1:5432,host2:5433`) are tried in turn; without
//! `target_session_attrs` one that takes writes is wanted of them.
//!
//! | option | default |
//! | --- | --- |
//! | `host`, `hostaddr`, `port`, `user`, `password`, `dbname`, `options` | the system's socket, else `localhost`; 5432; the system's user |
//! | `application_name` | `postrider` and what the connection is for |
//! | `sslmode` | `prefer`; also `disable`, `require`, `verify-ca`, `verify-full` |
//! | `sslrootcert` | a PEM file, or `system` (which needs and implies `verify-full`); only `verify-*` has a default: the system's roots |
//! | `sslnegotiation`, `channel_binding`, `load_balance_hosts` | as libpq |
//! | `target_session_attrs` | `any` for one host, `read-write` for several; `primary` is the same as `read-write` |
//! | `connect_timeout` | 5 s for each host, shared between its addresses; in seconds, at most an hour |
//! | `keepalives`, `keepalives_idle`, `keepalives_interval`, `keepalives_count` | on, 10 s, 5 s, 3 |
//! | `tcp_user_timeout` | 15,000 ms |
//!
//! A password file, a service file and client certificates are not supported.

mod at_once;
mod endpoint;
mod limit;
mod migrate;
mod options;
mod queryable;
mod reconnect;
mod settings;
mod target;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType};
use tokio_postgres::{Client, Connection, Socket};

pub(crate) use limit::within;
pub use migrate::{MigrationSet, SchemaStatus};
pub use queryable::{InTransaction, Queryable};
pub(crate) use reconnect::Reconnect;
use target::{PoolConnector, Target};
pub(crate) use tls::Stream;

use crate::Error;
use crate::error::describe;

/// Connections in the pool unless said otherwise.
const DEFAULT_POOL_SIZE: usize = 10;
/// The most connections in a pool.
const MAX_POOL_SIZE: usize = 1_000;
/// How long to wait for a connection to come back to the pool, or to prove that it is good.
const POOL_WAIT: Duration = Duration::from_secs(5);

/// A Postgres database: a pool for short work, and the means to open connections of its own.
///
/// Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    target: Arc<Target>,
    listen_target: Arc<Target>,
}

impl Database {
    /// From a URL (`postgres://…`) or a `key=value` string, as `DATABASE_URL` holds it: see the
    /// [options](self#the-url). Does not connect yet.
    ///
    /// # Errors
    /// [`Error::Config`], which never repeats the password.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let target = parse(url, "DATABASE_URL")?;
        Ok(Self { pool: pool(&target, DEFAULT_POOL_SIZE), listen_target: Arc::clone(&target), target })
    }

    /// A URL that goes to Postgres directly, for the LISTEN connection and for migrations, where
    /// the first goes through a transaction pooler.
    ///
    /// # Errors
    /// As [`Database::from_url`].
    pub fn with_listen_url(mut self, url: &str) -> Result<Self, Error> {
        self.listen_target = parse(url, "DATABASE_LISTEN_URL")?;
        Ok(self)
    }

    /// Another database of the same server, through a pool of its own and always directly: a
    /// transaction pooler knows only the databases that it was told of.
    #[cfg(feature = "app")]
    pub(crate) fn beside(&self, dbname: &str) -> Self {
        let target = Arc::new(self.listen_target.beside(dbname));
        Self { pool: pool(&target, DEFAULT_POOL_SIZE), listen_target: Arc::clone(&target), target }
    }

    /// Whether LISTEN goes to the same address as everything else, so that what is proved of the
    /// one connection holds for the others.
    pub(crate) fn listens_where_it_writes(&self) -> bool {
        Arc::ptr_eq(&self.target, &self.listen_target)
    }

    /// How many connections the pool may have, from 1 to 1,000: the nearest of these is taken.
    /// Default: 10. To be called before there are clones, which keep the pool they have.
    #[must_use]
    pub fn with_pool_size(mut self, connections: usize) -> Self {
        // Not `Pool::resize`: it shrinks by the connections that are open, and none is yet.
        self.pool = pool(&self.target, connections.clamp(1, MAX_POOL_SIZE));
        self
    }

    /// The pool, for work of your own.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A connection from the pool. Waits at most 5 s for a free one, and at most the URL's
    /// `connect_timeout` (5 s) for each host where a new one is needed.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn client(&self) -> Result<Object, Error> {
        self.pool.get().await.map_err(|error| self.not_given(error))
    }

    /// Why the pool gave no connection.
    fn not_given(&self, error: PoolError) -> Error {
        match error {
            PoolError::Backend(error) => Error::Connect(format!("{}: {}", self.target, describe(&error))),
            PoolError::Timeout(TimeoutType::Wait) => {
                let (size, waited) = (self.pool.status().max_size, POOL_WAIT.as_millis());
                Error::Connect(format!("all {size} connections of the pool were in use for {waited} ms"))
            }
            PoolError::Timeout(_) => {
                let waited = self.target.longest().as_millis();
                Error::Connect(format!("{}: no answer within {waited} ms", self.target))
            }
            other => Error::Connect(other.to_string()),
        }
    }

    /// A connection outside the pool, to be driven by the caller. `purpose` shows in
    /// `pg_stat_activity.application_name`.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        self.target.open(purpose).await
    }

    /// As [`Database::connect`], to the address that LISTEN works on.
    pub(crate) async fn connect_listen(&self, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        self.listen_target.open(purpose).await
    }
}

fn pool(target: &Arc<Target>, connections: usize) -> Pool {
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let connector = PoolConnector(Arc::clone(target));
    #[allow(clippy::expect_used, reason = "fails only where a timeout is set and no runtime")]
    Pool::builder(Manager::from_connect(target.config().clone(), connector, config))
        .max_size(connections)
        .runtime(Runtime::Tokio1)
        .pre_recycle(limit::look_at_suspects())
        .wait_timeout(Some(POOL_WAIT))
        .create_timeout(Some(target.longest()))
        .recycle_timeout(Some(POOL_WAIT))
        .build()
        .expect("a runtime is set")
}

fn parse(url: &str, variable: &str) -> Result<Arc<Target>, Error> {
    Target::parse(url).map(Arc::new).map_err(|problem| Error::Config(format!("{variable} {problem}")))
}
