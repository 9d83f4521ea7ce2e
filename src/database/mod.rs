//! How to reach Postgres: URL, TLS, the pool, connections of their own, migrations.
//!
//! Promises: no connection attempt and no wait for the pool is without a limit, and no password
//! appears in an error or a log line. Knows nothing of jobs.

mod migrate;
mod queryable;
pub(crate) mod reconnect;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};

pub use migrate::{MigrationSet, SchemaStatus};
pub use queryable::{InTransaction, Queryable};

use crate::Error;

/// The stream of a connection, plain or encrypted.
pub(crate) type Stream = NoTlsStream;

/// Connections in the pool unless said otherwise.
const DEFAULT_POOL_SIZE: usize = 10;
/// How long to wait for a connection, new or from the pool.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A Postgres database: a pool for short work, and the means to open connections of its own.
///
/// Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    config: Arc<Config>,
    listen_config: Arc<Config>,
}

impl Database {
    /// From a URL (`postgres://…`) or a `key=value` string, as `DATABASE_URL` holds it.
    /// Does not connect yet.
    ///
    /// # Errors
    /// [`Error::Config`], which never repeats the password.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let config: Config = url.parse().map_err(|error| Error::Config(format!("DATABASE_URL: {error}")))?;
        Self::from_config(config, DEFAULT_POOL_SIZE)
    }

    fn from_config(config: Config, pool_size: usize) -> Result<Self, Error> {
        let manager =
            Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|error| Error::Config(error.to_string()))?;
        let config = Arc::new(config);
        Ok(Self { pool, listen_config: Arc::clone(&config), config })
    }

    /// A URL that goes to Postgres directly, for the LISTEN connection, where the first goes
    /// through a transaction pooler.
    ///
    /// # Errors
    /// As [`Database::from_url`].
    pub fn with_listen_url(mut self, url: &str) -> Result<Self, Error> {
        let config: Config = url.parse().map_err(|error| Error::Config(format!("DATABASE_LISTEN_URL: {error}")))?;
        self.listen_config = Arc::new(config);
        Ok(self)
    }

    /// Whether LISTEN goes to the same address as everything else, so that what is proved of the
    /// one connection holds for the others.
    pub(crate) fn listens_where_it_writes(&self) -> bool {
        Arc::ptr_eq(&self.config, &self.listen_config)
    }

    /// The pool, for work of your own.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A connection from the pool, waited for at most 5 s.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn client(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }

    /// A connection outside the pool, to be driven by the caller. `purpose` shows in
    /// `pg_stat_activity.application_name`.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        Self::open(&self.config, purpose).await
    }

    /// As [`Database::connect`], to the address that LISTEN works on.
    pub(crate) async fn connect_listen(&self, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        Self::open(&self.listen_config, purpose).await
    }

    async fn open(config: &Config, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        let mut config = config.clone();
        config.application_name(format!("postrider {purpose}"));
        tokio::time::timeout(CONNECT_TIMEOUT, config.connect(NoTls))
            .await
            .map_err(|_| Error::Connect(format!("no answer within {} ms", CONNECT_TIMEOUT.as_millis())))?
            .map_err(|error| Error::Connect(crate::error::describe(&error)))
    }
}
