//! Bringing a schema up to date, safely from many places at once.
//!
//! Two sets, each with a history table of its own: who takes only the queue gets only its tables.

use crate::{Database, Error};

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

    fn runner(self) -> refinery::Runner {
        let runner = match self {
            Self::Queue => queue::migrations::runner(),
            #[cfg(feature = "app")]
            Self::App => app::migrations::runner(),
        };
        runner
    }
}

impl Database {
    /// Applies what is missing of `set`.
    ///
    /// # Errors
    /// [`Error::Migration`].
    pub async fn migrate(&self, set: MigrationSet) -> Result<(), Error> {
        let (mut client, connection) = self.connect("migrate").await?;
        tokio::spawn(connection);
        let mut runner = set.runner().set_abort_missing(false);
        runner.set_migration_table_name(match set {
            MigrationSet::Queue => "postrider_queue_migrations",
            #[cfg(feature = "app")]
            MigrationSet::App => "postrider_app_migrations",
        });
        runner
            .run_async(&mut client)
            .await
            .map_err(|error| Error::Migration { set: set.name(), problem: error.to_string() })?;
        Ok(())
    }

    /// Where the schema of `set` stands.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Database`].
    pub async fn schema_status(&self, set: MigrationSet) -> Result<SchemaStatus, Error> {
        let client = self.client().await?;
        let table = match set {
            MigrationSet::Queue => "postrider_queue_migrations",
            #[cfg(feature = "app")]
            MigrationSet::App => "postrider_app_migrations",
        };
        let needed = set.runner().get_migrations().iter().map(|m| m.version() as u32).max().unwrap_or(0);
        let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await?;
        let mut applied = 0;
        if there.get::<_, bool>(0) {
            let row = client.query_one(&format!("SELECT coalesce(max(version), 0)::int8 FROM {table}"), &[]).await?;
            applied = row.get::<_, i64>(0) as u32;
        }
        Ok(SchemaStatus { set, applied, needed })
    }

    /// Refuses a schema older than this release needs.
    ///
    /// # Errors
    /// [`Error::SchemaTooOld`], and as [`Database::schema_status`].
    pub async fn require_schema(&self, sets: &[MigrationSet]) -> Result<(), Error> {
        for set in sets {
            let status = self.schema_status(*set).await?;
            if status.applied < status.needed {
                return Err(Error::SchemaTooOld { set: set.name(), found: status.applied, needed: status.needed });
            }
        }
        Ok(())
    }
}
