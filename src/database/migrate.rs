//! Bringing a schema up to date, safely from many places at once.
//!
//! Two sets, each with a history table of its own: who takes only the queue gets only its tables.
//! Promises: one migrator at a time; each migration whole or not at all; nothing waits long for
//! somebody else's lock, since all others would wait behind it; a schema newer than this release
//! is left alone and is no error.

use std::error::Error as StdError;
use std::time::Duration;

use refinery::{Migration, Runner};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::limit::within;
use crate::error::describe;
use crate::{Database, Error, store};

/// How long to wait for another migrator.
const LOCK_WAIT: Duration = Duration::from_mins(1);
/// How often to look whether it is done. Not by `pg_advisory_lock`: a session that waits holds
/// a snapshot, and with it vacuum for the whole database.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// How long a migration may wait for a lock on a table. Set once the migrators' lock is held.
const TABLE_LOCK_WAIT_MS: u32 = 5_000;
/// How long one statement of a migration may take.
const MIGRATION_LIMIT_MS: u32 = 3_600_000;
/// The same, for the statements around it.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// A set of migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationSet {
    /// The schema `postrider`.
    Queue,
    /// The tables of the example application: tablos and their files.
    #[cfg(feature = "app")]
    App,
}

/// Where a schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The set.
    pub set: MigrationSet,
    /// The newest version applied; 0 for none.
    pub applied: u32,
    /// The version that this release needs.
    pub needed: u32,
}

impl SchemaStatus {
    /// Whether this release can work on it: a newer schema is fine.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.applied >= self.needed
    }
}

mod queue {
    refinery::embed_migrations!("sql/migrations/queue");
}

#[cfg(feature = "app")]
mod app {
    refinery::embed_migrations!("sql/migrations/app");
}

impl MigrationSet {
    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            #[cfg(feature = "app")]
            Self::App => "app",
        }
    }

    fn history_table(self) -> &'static str {
        match self {
            Self::Queue => "public.postrider_queue_migrations",
            #[cfg(feature = "app")]
            Self::App => "public.postrider_app_migrations",
        }
    }

    fn runner(self) -> Runner {
        let runner = match self {
            Self::Queue => queue::migrations::runner(),
            #[cfg(feature = "app")]
            Self::App => app::migrations::runner(),
        };
        // An older binary beside a newer one must still start.
        let mut runner = runner.set_abort_missing(false);
        runner.set_migration_table_name(self.history_table());
        runner
    }

    fn needed(self) -> u32 {
        self.runner().get_migrations().iter().map(version).max().unwrap_or(0)
    }

    fn failed(self, problem: impl Into<String>) -> Error {
        Error::Migration { set: self.name(), problem: problem.into() }
    }
}

impl Database {
    /// Applies what is missing of `set` and returns the names of what was applied, such as
    /// `V1__queue`.
    ///
    /// Safe from many places at once: they take turns, waiting at most 60 s. Needs a direct
    /// connection, because the turn belongs to a session: where the URL goes through a
    /// transaction pooler, give a direct one with [`Database::with_listen_url`].
    ///
    /// # Errors
    /// [`Error::Connect`]; [`Error::Migration`] where the turn did not come, a migration failed
    /// (it leaves nothing behind), had to wait for a lock for more than 5 s or a statement of it
    /// took more than an hour, or where one applied earlier differs from the one of this release.
    pub async fn migrate(&self, set: MigrationSet) -> Result<Vec<String>, Error> {
        let (mut client, connection) = self.connect_listen("migrate").await?;
        let connection = tokio::spawn(connection);
        let result = apply(&mut client, set).await;
        // Closing it gives the lock back. Waited for, so that the next migrator need not.
        drop(client);
        let _ = timeout(STATEMENT_LIMIT, connection).await;
        result
    }

    /// How far the schema is, and how far this release needs it to be.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Database`], [`Error::TimedOut`] after 5 s.
    pub async fn schema_status(&self, set: MigrationSet) -> Result<SchemaStatus, Error> {
        let client = self.client().await?;
        let applied = within(STATEMENT_LIMIT, async {
            if !store::schema::table_exists(&**client, set.history_table()).await? {
                return Ok(0);
            }
            match set {
                MigrationSet::Queue => store::schema::queue_version(&**client).await,
                #[cfg(feature = "app")]
                MigrationSet::App => store::schema::app_version(&**client).await,
            }
        })
        .await?;
        Ok(SchemaStatus { set, applied: u32::try_from(applied).unwrap_or(0), needed: set.needed() })
    }

    /// Makes sure that this release can work on the schema.
    ///
    /// # Errors
    /// [`Error::SchemaTooOld`], and those of [`Database::schema_status`].
    pub async fn require_schema(&self, sets: &[MigrationSet]) -> Result<(), Error> {
        for set in sets {
            let status = self.schema_status(*set).await?;
            if !status.is_enough() {
                return Err(Error::SchemaTooOld { set: set.name(), found: status.applied, needed: status.needed });
            }
        }
        Ok(())
    }
}

async fn apply(client: &mut Client, set: MigrationSet) -> Result<Vec<String>, Error> {
    wait_for_turn(client, set).await?;
    within(STATEMENT_LIMIT, store::schema::limit_migration(client, TABLE_LOCK_WAIT_MS, MIGRATION_LIMIT_MS)).await?;
    let runner = set.runner();
    let report = runner.run_async(client).await.map_err(|error| set.failed(readable(&error)))?;

    // Since a newer schema passes, so would one that lacks a migration which came in between.
    let history = runner.get_applied_migrations_async(client).await.map_err(|error| set.failed(readable(&error)))?;
    let is_applied = |migration: &Migration| history.iter().any(|applied| applied.version() == migration.version());
    if let Some(missing) = runner.get_migrations().iter().find(|migration| !is_applied(migration)) {
        return Err(set.failed(format!("{missing} was never applied, although newer ones were")));
    }
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

async fn wait_for_turn(client: &Client, set: MigrationSet) -> Result<(), Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    while !within(STATEMENT_LIMIT, store::schema::try_migration_lock(client)).await? {
        if Instant::now() >= deadline {
            let waited = LOCK_WAIT.as_millis();
            return Err(set.failed(format!("another migrator was still at work after {waited} ms: try again later")));
        }
        sleep(LOCK_POLL).await;
    }
    Ok(())
}

fn version(migration: &Migration) -> u32 {
    u32::try_from(migration.version()).unwrap_or(0)
}

/// What happened: `Display` of refinery's errors ends at "db error".
fn readable(error: &refinery::Error) -> String {
    use refinery::error::Kind;

    let (doing, cause) = match error.kind() {
        Kind::Connection(doing, cause) => (doing, cause.as_ref() as &(dyn StdError + 'static)),
        Kind::DivergentVersion(applied, ours) => {
            return format!(
                "{applied} was applied in another form than the {ours} of this release (their checksums differ): \
                 an applied migration must never be edited, or this database belongs to something else"
            );
        }
        other => return other.to_string(),
    };
    let Some(cause) = postgres_error(cause) else { return format!("{doing}: {cause}") };
    let explanation = if cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        format!(": another session held a lock in its way for more than {TABLE_LOCK_WAIT_MS} ms, try again later")
    } else {
        String::new()
    };
    format!("{doing}: {}{explanation}", describe(cause))
}

fn postgres_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e tokio_postgres::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(postgres) = error.downcast_ref() {
            return Some(postgres);
        }
        cause = error.source();
    }
    None
}
