//! Connecting to Postgres: URL, TLS, pool, dedicated connections.
//!
//! Promises: every attempt to connect and every wait for the pool has a limit; no password appears in an error or a
//! log line. This module does not depend on jobs.
//!
//! # The URL
//!
//! `postgres://user:password@host:port/database?option=value&…`, or `key=value` pairs, as in libpq. Several hosts
//! (`host1:5432,host2:5433`) are tried in turn. Without `target_session_attrs`, the first one that accepts
//! writes is used.
//!
//! | option | default |
//! | --- | --- |
//! | `host`, `hostaddr`, `port`, `user`, `password`, `dbname`, `options` | the system's socket, else `localhost`; 5432; the system's user |
//! | `application_name` | `postrider` and the purpose of the connection |
//! | `sslmode` | `prefer`; also `disable`, `require`, `verify-ca`, `verify-full` |
//! | `sslrootcert` | a PEM file, or `system` (which needs and implies `verify-full`); only `verify-*` has a default: the system's roots |
//! | `sslnegotiation`, `channel_binding`, `load_balance_hosts` | as in libpq |
//! | `target_session_attrs` | `any` for one host, `read-write` for several; `primary` is the same as `read-write` |
//! | `connect_timeout` | 5 s for each host, shared between its addresses; in seconds, at most an hour |
//! | `keepalives`, `keepalives_idle`, `keepalives_interval`, `keepalives_count` | on, 10 s, 5 s, 3 |
//! | `tcp_user_timeout` | 15,000 ms |
//!
//! A password file, a service file, client certificates and Kerberos encryption are not supported. An empty `sslcert`
//! or `sslkey`, and `gssencmode=disable`, are accepted. So is `statement-cache-capacity`, which the URLs of `sqlx` have and
//! which means nothing here.

mod any_connection;
mod cancel;
mod client_without_wait;
mod config;
mod deadline;
mod dial;
mod drivers;
mod endpoint;
mod pool;
mod problem;
mod queryable;
mod reconnect;
mod schema;
mod statement;
mod tls;
pub(crate) mod transaction;
mod url;
mod wire;

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use tokio_postgres::{Client, Connection, Socket};

pub use any_connection::{AnyConnection, AnyTransaction, BlockingConnection, Unprepared};
pub(crate) use deadline::{finished, within};
use dial::Target;
use pool::Connections;
pub use queryable::{InSchema, InTransaction, Queryable};
pub(crate) use queryable::{Params, Statements};
pub(crate) use reconnect::Reconnect;
pub use schema::{MAX_SCHEMA_LEN, Schema};
pub use statement::{Param, Statement};
pub(crate) use statement::{Returned, Returns, time_text};
pub(crate) use tls::Stream;
#[cfg(feature = "bin")]
pub(crate) use transaction::LimitedTransaction;
pub(crate) use transaction::Limits;
#[cfg(feature = "testing")]
pub(crate) use transaction::TestTransaction;
pub use transaction::Transaction;
#[cfg(feature = "testing")]
pub(crate) use url::with_dbname;

use crate::error::Error;

/// A Postgres database: a pool for short work, and a way to open dedicated connections.
///
/// Cheap to clone. Clones share the pool.
///
/// ```no_run
/// # async fn example() -> Result<(), postrider::Error> {
/// use postrider::Database;
/// use postrider::schema::MigrationSet;
///
/// let database = Database::from_url("postgres://app@localhost/app")?.with_pool_size(20);
/// database.migrate(MigrationSet::Queue).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Database {
    connections: Connections,
    target: Arc<Target>,
    listen_target: Arc<Target>,
    schema: Schema,
}

impl Database {
    /// A database from a URL (`postgres://…`) or a `key=value` string, such as the value of `DATABASE_URL`: see the
    /// [options](self#the-url). Does not connect yet.
    ///
    /// ```
    /// use postrider::Database;
    ///
    /// let database = Database::from_url("postgres://app@localhost/app?sslmode=verify-full&connect_timeout=2")?;
    /// assert!(Database::from_url("postgres://localhost/app?sslmode=perhaps").is_err());
    /// # let _ = database;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`], which never repeats the password.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let target = parse(url, "DATABASE_URL")?;
        Ok(Self {
            connections: Connections::own(&target, pool::DEFAULT_SIZE),
            listen_target: Arc::clone(&target),
            target,
            schema: Schema::default(),
        })
    }

    /// A database that shares a pool which the service has already, of `deadpool-postgres` 0.14. Does not connect yet.
    ///
    /// `listen_url` is an address of the same database, with the [options](self#the-url) of a URL: preferably a direct
    /// one, not through a transaction pooler. A worker opens its dedicated connections there: for LISTEN, the lease,
    /// claims and outcomes, and migrations. So a pool that handlers hold whole stops none of these.
    ///
    /// Nothing in the pool is changed:
    ///
    /// - Its size stays: [`with_pool_size`](Database::with_pool_size) does nothing. Postrider holds a connection
    ///   of it only for a few short statements.
    /// - Its limits hold. Ours hold as well, even if the pool has no limits and no runtime: at most 5 s for a free
    ///   connection, and then at most the `connect_timeout` of `listen_url` (5 s, per host) for a new one.
    /// - Its hooks and its recycling method run as ever. Each method will do: no statement of Postrider leaves settings,
    ///   prepared statements or an open transaction in a session.
    /// - The settings of its sessions hold for our statements too, such as a `statement_timeout`.
    ///
    /// One thing is added: a connection that is still busy with an abandoned statement of a handler is closed, and its
    /// statement cancelled. The cancel goes to `listen_url`. If the pool goes through a pooler, it has no effect, and
    /// the statement ends by its own limits.
    ///
    /// ```no_run
    /// # fn example(pool: deadpool_postgres::Pool) -> Result<(), postrider::Error> {
    /// use postrider::{Database, Worker};
    ///
    /// let database = Database::from_pool(pool.clone(), "postgres://app@db.internal/app")?;
    /// let worker = Worker::new(database, pool);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for the URL. It never repeats the password.
    pub fn from_pool(pool: Pool, listen_url: &str) -> Result<Self, Error> {
        let target = parse(listen_url, "listen_url")?;
        Ok(Self {
            connections: Connections::lent(pool, &target),
            listen_target: Arc::clone(&target),
            target,
            schema: Schema::default(),
        })
    }

    /// Sets a direct URL for the LISTEN connection and for migrations. Needed if the first URL goes through a
    /// transaction pooler. With [`Database::from_pool`], it replaces the `listen_url`.
    ///
    /// ```
    /// # use postrider::Database;
    /// let database = Database::from_url("postgres://pooler/app")?.with_listen_url("postgres://db.internal/app")?;
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Database::from_url`].
    pub fn with_listen_url(mut self, url: &str) -> Result<Self, Error> {
        self.listen_target = parse(url, "DATABASE_LISTEN_URL")?;
        if self.connections.is_lent() {
            self.target = Arc::clone(&self.listen_target);
            self.connections = Connections::lent(self.connections.pool().clone(), &self.target);
        }
        Ok(self)
    }

    /// Sets the schema of the queue, for migrations and workers. Default: `postrider`.
    ///
    /// Not for connections: to enqueue into the schema on one, use [`Schema::on`].
    ///
    /// ```
    /// use postrider::{Database, Schema};
    ///
    /// let database = Database::from_url("postgres://localhost/app")?.in_schema(Schema::new("billing")?);
    /// assert_eq!(database.schema().name(), "billing");
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn in_schema(mut self, schema: Schema) -> Self {
        self.schema = schema;
        self
    }

    /// The schema of the queue.
    ///
    /// ```
    /// # use postrider::Database;
    /// assert_eq!(Database::from_url("postgres://localhost/app")?.schema().name(), "postrider");
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Another database on the same server, with a separate pool and the default schema. Always direct: a transaction
    /// pooler knows only the databases in its configuration.
    #[cfg(feature = "bin")]
    pub(crate) fn beside(&self, dbname: &str) -> Self {
        let target = Arc::new(self.listen_target.beside(dbname));
        Self {
            connections: Connections::own(&target, pool::DEFAULT_SIZE),
            listen_target: Arc::clone(&target),
            target,
            schema: Schema::default(),
        }
    }

    /// Whether LISTEN uses the same address as all other dedicated connections, so that a proof that it is direct holds
    /// for these too.
    pub(crate) fn has_one_address(&self) -> bool {
        Arc::ptr_eq(&self.target, &self.listen_target)
    }

    /// The size of the pool, 1 to 1,000 connections (clamped). Default: 10. Call it before cloning: existing clones keep
    /// their pool. Without effect after [`Database::from_pool`].
    ///
    /// A worker's dedicated connections are not part of it.
    ///
    /// ```
    /// # use postrider::Database;
    /// let database = Database::from_url("postgres://localhost/app")?.with_pool_size(50);
    /// assert_eq!(database.pool().status().max_size, 50);
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn with_pool_size(mut self, connections: usize) -> Self {
        // Not `Pool::resize`: it subtracts open connections, and none are open yet.
        if !self.connections.is_lent() {
            self.connections = Connections::own(&self.target, connections);
        }
        self
    }

    /// The pool, for your own statements.
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// println!("{} connections are free", database.pool().status().available);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.connections.pool()
    }

    /// A connection from the pool. Waits at most 5 s for a free one, and at most the URL's `connect_timeout` (5 s)
    /// per host for a new one.
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// let client = database.client().await?;
    /// client.execute("DELETE FROM draft WHERE expires_at < now()", &[]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn client(&self) -> Result<Object, Error> {
        self.connections.get().await
    }

    /// A dedicated connection, driven by the caller. `purpose` appears in `pg_stat_activity.application_name`.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        // Boxed: it is large, and part of every future that may open a connection.
        Box::pin(self.target.open(purpose)).await
    }

    /// As [`Database::connect`], to the address for LISTEN.
    pub(crate) async fn connect_direct(&self, purpose: &str) -> Result<(Client, Connection<Socket, Stream>), Error> {
        Box::pin(self.listen_target.open(purpose)).await
    }
}

fn parse(url: &str, variable: &str) -> Result<Arc<Target>, Error> {
    Target::parse(url).map(Arc::new).map_err(|problem| problem.of(variable))
}
