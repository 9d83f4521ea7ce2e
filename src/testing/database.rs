//! A database for one test.
//!
//! Promises: it is dropped with its handle, also if the test panics. One that a killed process has left is dropped a day
//! later, by the next test, unless a session is connected to it. No other database is changed.

use std::fmt;

use crate::error::Error;
use crate::postgres::{Database, with_dbname};
use crate::schema::MigrationSet;
use crate::store::testing::{self as store, TestDatabaseName};

/// A database for one test, with the schema of the queue. Dropped at the end, with the sessions that are connected to it;
/// those of other roles keep it, unless the role may end them.
///
/// ```no_run
/// # use postrider::{Database, Worker};
/// # async fn example(worker: fn(Database) -> Worker<()>) -> Result<(), postrider::Error> {
/// use postrider::testing::{TestDatabase, TestWorker};
///
/// let db = TestDatabase::create("postgres://app@localhost/app").await?;
/// // For the service's own driver and migrations: db.url().
/// let worker = TestWorker::new(worker(db.database()))?;
/// # Ok(()) }
/// ```
#[must_use = "the database is dropped with it"]
pub struct TestDatabase {
    database: Database,
    url: String,
    server: Database,
    name: TestDatabaseName,
}

impl TestDatabase {
    /// Creates it on the server of this [URL](crate::postgres#the-url). The role needs the right to create databases
    /// (`CREATEDB`).
    ///
    /// # Errors
    /// [`Error::Config`] for the URL, [`Error::Connect`], [`Error::Migration`], or [`Error::Database`] as any statement.
    pub async fn create(url: &str) -> Result<Self, Error> {
        let server = Database::from_url(url)?;
        let name = TestDatabaseName::fresh();
        let url = with_dbname(url, name.as_str());
        let database = Database::from_url(&url)?;
        let client = store::open_admin(&server).await?;
        for left in store::left_databases(&client).await? {
            // Another test may have dropped it first, or a session is connected to it.
            if let Err(error) = store::drop_left_database(&client, &left).await {
                tracing::debug!(%error, database = left.as_str(), "a database that a test has left was not dropped");
            }
        }
        let created = Self { database, url, server, name };
        store::create_database(&client, &created.name).await?;
        created.database.migrate(MigrationSet::Queue).await?;
        Ok(created)
    }

    /// The database, for a worker.
    #[must_use]
    pub fn database(&self) -> Database {
        self.database.clone()
    }

    /// The URL of the database, for any driver. It has the password of the URL that it was made with.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for TestDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabase").field("name", &self.name.as_str()).finish_non_exhaustive()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own, because that of the test may be about to end.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::connect(error.to_string()).caused_by(error))?;
            runtime.block_on(async { store::drop_database(&store::open_admin(&server).await?, &name).await })
        });
        let problem = match dropping.join() {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the thread panicked".to_owned(),
        };
        tracing::warn!(problem, database = self.name.as_str(), "the database of a test was not dropped");
    }
}
