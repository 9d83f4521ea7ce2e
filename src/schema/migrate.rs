//! Migrations, safe to run from several places at once.
//!
//! Promises: one migrator of a set at a time; each migration is atomic; a migration waits only briefly for a table's
//! lock, since all other sessions would wait behind it; a schema newer than this release is not changed.

use std::error::Error as StdError;
use std::time::Duration;

use refinery::{Migration, Runner, Target};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::{MigrationSet, STATEMENT_LIMIT, first_missing};
use crate::error::Error;
use crate::error::describe;
use crate::error_chain::causes;
use crate::postgres::{Database, Queryable, Schema, within};
use crate::store;

/// The time limit of the wait for another migrator.
const LOCK_WAIT: Duration = Duration::from_mins(1);
/// The interval of checks whether it is done. Not by `pg_advisory_lock`: a waiting session holds a snapshot, which
/// blocks vacuum for the whole database.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// The time limit of a migration's wait for a table's lock. Set once the migration lock is held.
const TABLE_LOCK_WAIT_MS: u32 = 5_000;
/// The time limit of one statement of a migration.
const MIGRATION_LIMIT_MS: u32 = 3_600_000;
/// The record of the queue's migrations before the first release.
const UNRELEASED_TABLE: &str = "public.postrider_queue_migrations";
const UNRELEASED: &str = "the database was made by an unreleased schema: start with an empty one (scripts/dev --reset)";

mod queue {
    refinery::embed_migrations!("sql/migrations/queue");
}

#[cfg(feature = "bin")]
mod app {
    refinery::embed_migrations!("sql/migrations/app");
}

impl MigrationSet {
    fn migrations(self) -> Vec<Migration> {
        match self {
            Self::Queue => queue::migrations::runner().get_migrations().clone(),
            #[cfg(feature = "bin")]
            Self::App => app::migrations::runner().get_migrations().clone(),
        }
    }

    fn runner(self, schema: &Schema) -> Result<Runner, Error> {
        let in_schema = |migration: &Migration| {
            let text = schema.in_migration(migration.sql().unwrap_or_default());
            Migration::unapplied(&migration.to_string(), &text)
                .map_err(|error| self.failed(readable(&error)).caused_by(error))
        };
        let migrations = self.migrations().iter().map(in_schema).collect::<Result<Vec<_>, _>>()?;
        // An older program beside a newer one must still start.
        let mut runner = Runner::new(&migrations).set_abort_missing(false);
        runner.set_migration_table_name(self.record(schema));
        Ok(runner)
    }

    fn lacks(self, table: &str, record: &str) -> Error {
        self.failed(format!(
            "{table} is gone, although {record} tells of it: restore it, or drop the record and all other tables of the \
             set, too, and migrate again"
        ))
    }

    fn failed(self, problem: impl Into<String>) -> Error {
        Error::Migration { set: self.name(), problem: problem.into(), source: None }
    }
}

impl Database {
    /// Applies the missing migrations of `set`. Returns their names, such as `V1__queue`.
    ///
    /// Safe to run from several places at once: migrators take turns and wait at most 60 s. Needs a direct connection,
    /// because the migration lock belongs to a session. If the URL goes through a transaction pooler, set a direct one
    /// with [`Database::with_listen_url`].
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// use postrider::schema::MigrationSet;
    ///
    /// database.migrate(MigrationSet::Queue).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Connect`]; [`Error::Migration`] if the wait for another migrator timed out, or a migration failed (it
    /// is rolled back), waited for a lock for more than 5 s, ran a statement for more than an hour, or differs from its
    /// applied form.
    pub async fn migrate(&self, set: MigrationSet) -> Result<Vec<String>, Error> {
        let (mut client, connection) = self.connect_direct("migrate").await?;
        if let Some(encoding) = connection.parameter("server_encoding").filter(|encoding| *encoding != "UTF8") {
            tracing::warn!(
                encoding,
                "the database is not encoded in UTF8: jobs with text that it cannot hold, or that is no UTF-8, are refused"
            );
        }
        let connection = tokio::spawn(connection);
        let result = apply(&mut client, self.schema(), set).await;
        // Closing the connection releases the lock. Wait for it, so that the next migrator does not have to.
        drop(client);
        let _ = timeout(STATEMENT_LIMIT, connection).await;
        result
    }
}

async fn apply(client: &mut Client, schema: &Schema, set: MigrationSet) -> Result<Vec<String>, Error> {
    let record = set.record(schema);
    wait_for_turn(client, set, &record).await?;
    within(STATEMENT_LIMIT, store::schema::limit_migration(client, TABLE_LOCK_WAIT_MS, MIGRATION_LIMIT_MS)).await?;
    if set == MigrationSet::Queue {
        within(STATEMENT_LIMIT, prepare_queue(&schema.on(&*client))).await?;
    }
    let runner = set.runner(schema)?;
    restore_record(client, schema, set, &runner).await?;
    let failed = |error: refinery::Error| set.failed(readable(&error)).caused_by(error);
    let report = runner.run_async(client).await.map_err(failed)?;

    // A newer schema is accepted. Without this check, so would be one that lacks an intermediate migration.
    let history = runner.get_applied_migrations_async(client).await.map_err(failed)?;
    let is_applied = |migration: &Migration| history.iter().any(|applied| applied.version() == migration.version());
    if let Some(missing) = runner.get_migrations().iter().find(|migration| !is_applied(migration)) {
        return Err(set.failed(format!("{missing} was never applied, although newer ones were")));
    }
    if let Some(table) = within(STATEMENT_LIMIT, first_missing(client, set, schema)).await? {
        return Err(set.lacks(&table, &record));
    }
    let newest = history.iter().map(version).max().unwrap_or(0);
    within(STATEMENT_LIMIT, store::schema::mark_version(client, &record, newest)).await?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Creates the schema unless it exists: an administrator may have created it for a role without the privilege. Refuses
/// a database from before the first release.
async fn prepare_queue(client: &impl Queryable) -> Result<(), Error> {
    if store::schema::table_exists(client, UNRELEASED_TABLE).await? {
        return Err(MigrationSet::Queue.failed(UNRELEASED));
    }
    if !store::schema::schema_exists(client).await? {
        store::schema::create_schema(client).await?;
    }
    Ok(())
}

/// Restores the record of migrations after a schema-only restore. After that, the tables exist, the record's comment
/// has the version, and the record is empty.
async fn restore_record(client: &mut Client, schema: &Schema, set: MigrationSet, runner: &Runner) -> Result<(), Error> {
    let failed = |error: refinery::Error| set.failed(readable(&error)).caused_by(error);
    let (record, main_table) = (set.record(schema), set.main_table(schema));
    let is_there = within(STATEMENT_LIMIT, store::schema::table_exists(client, &main_table)).await?;
    let is_recorded = within(STATEMENT_LIMIT, store::schema::table_exists(client, &record)).await?
        && !runner.get_applied_migrations_async(client).await.map_err(failed)?.is_empty();
    if is_recorded && !is_there {
        return Err(set.lacks(&main_table, &record));
    }
    if is_recorded == is_there {
        return Ok(());
    }
    match within(STATEMENT_LIMIT, store::schema::marked_version(client, &record)).await? {
        None => Err(set.failed(format!(
            "{main_table} is there and {record} has no record of it: restore that table too, or start with an empty schema"
        ))),
        Some(marked) if marked > set.needed() => Err(set.failed(format!(
            "it was restored without its record by a newer release (version {marked}, this one knows {}): run the migrate of that release",
            set.needed()
        ))),
        Some(marked) => {
            let target = Target::FakeVersion(marked.try_into().unwrap_or_default());
            set.runner(schema)?.set_target(target).run_async(client).await.map_err(failed)?;
            tracing::info!(set = set.name(), version = marked, "restored the lost record of migrations");
            Ok(())
        }
    }
}

async fn wait_for_turn(client: &Client, set: MigrationSet, record: &str) -> Result<(), Error> {
    let deadline = Instant::now() + LOCK_WAIT;
    while !within(STATEMENT_LIMIT, store::schema::try_migration_lock(client, record)).await? {
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

/// The error with its cause. The `Display` of refinery's errors ends at "db error".
fn readable(error: &refinery::Error) -> String {
    use refinery::error::Kind;

    let (doing, cause) = match error.kind() {
        Kind::Connection(doing, cause) => (doing, cause.as_ref() as &(dyn StdError + 'static)),
        Kind::DivergentVersion(applied, ours) => {
            return format!(
                "{applied} was applied in another form than the {ours} of this release (their checksums differ): \
                 {UNRELEASED}, or it belongs to something else"
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
    causes(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_release_needs_the_newest_migration_of_each_set() {
        for set in [
            MigrationSet::Queue,
            #[cfg(feature = "bin")]
            MigrationSet::App,
        ] {
            assert_eq!(set.migrations().iter().map(version).max(), Some(set.needed()), "{}", set.name());
        }
    }
}
