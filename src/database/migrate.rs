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
}

impl Database {
    /// stub until merged
    pub async fn require_schema(&self, _sets: &[MigrationSet]) -> Result<(), Error> {
        Ok(())
    }
}
