//! The schema in the database: its version, its roles, its migrations.
//!
//! Two sets of migrations, each with its own record: a service that uses only the queue gets only the queue's tables.
//!
//! Promise: a schema newer than this release is accepted, and never changed. Nothing is migrated unless the service
//! asks for it.

#[cfg(feature = "migrate")]
mod migrate;

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;
use crate::postgres::{Database, Limits, Queryable, Schema, within};
use crate::store;

/// The time limit of each statement around a migration.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);
/// The time limit of a schema check's wait for a lock.
const CHECK_LOCK_WAIT: Duration = Duration::from_secs(2);

/// A set of migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationSet {
    /// The queue's schema: `postrider`, or that of [`Database::in_schema`].
    Queue,
    /// The tables of the example application: tablos and their files.
    #[cfg(feature = "bin")]
    #[doc(hidden)]
    App,
}

/// The status of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The set.
    pub set: MigrationSet,
    /// The newest applied version, 0 for none.
    pub applied: u32,
    /// The version that this release needs.
    pub needed: u32,
}

impl SchemaStatus {
    /// Whether this release can use it. A newer schema is fine.
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// use postrider::schema::MigrationSet;
    ///
    /// let status = database.schema_status(MigrationSet::Queue).await?;
    /// assert!(status.is_enough(), "run `worker migrate`");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.applied >= self.needed
    }
}

/// The statements that create four roles with only the rights that they need: `postrider_enqueue`, `postrider_worker`,
/// `postrider_read` and `postrider_operator`, named after the schema. For `psql`, after each migration.
///
/// ```
/// use postrider::Schema;
///
/// let statements = postrider::schema::roles(&Schema::new("billing")?);
/// assert!(statements.contains("billing_enqueue"));
/// # Ok::<(), postrider::Error>(())
/// ```
#[must_use]
pub fn roles(schema: &Schema) -> Cow<'static, str> {
    store::schema::roles(schema)
}

impl MigrationSet {
    /// The name in messages.
    ///
    /// ```
    /// assert_eq!(postrider::schema::MigrationSet::Queue.name(), "queue");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            #[cfg(feature = "bin")]
            Self::App => "app",
        }
    }

    /// The table of applied migrations. The tables of the application are the same for all schemas.
    fn record(self, schema: &Schema) -> String {
        match self {
            Self::Queue => format!("{schema}.schema_version"),
            #[cfg(feature = "bin")]
            Self::App => "public.postrider_app_migrations".to_owned(),
        }
    }

    /// A table that exists once the first migration was applied.
    #[cfg(feature = "migrate")]
    fn main_table(self, schema: &Schema) -> String {
        match self {
            Self::Queue => format!("{schema}.job"),
            #[cfg(feature = "bin")]
            Self::App => "public.tablos".to_owned(),
        }
    }

    /// The tables that exist once all migrations were applied, without the record.
    fn tables(self, schema: &Schema) -> Vec<String> {
        match self {
            Self::Queue => {
                ["job", "job_history", "queue", "worker", "periodic"].map(|table| format!("{schema}.{table}")).into()
            }
            #[cfg(feature = "bin")]
            Self::App => ["tablos", "tablo_files", "orphan_cleanup", "idempotency_keys"]
                .map(|table| format!("public.{table}"))
                .into(),
        }
    }

    /// The views that exist then.
    fn views(self, schema: &Schema) -> Vec<String> {
        match self {
            Self::Queue => vec![format!("{schema}.jobs")],
            #[cfg(feature = "bin")]
            Self::App => Vec::new(),
        }
    }

    /// The newest version of the set in this release.
    fn needed(self) -> u32 {
        match self {
            Self::Queue => 1,
            #[cfg(feature = "bin")]
            Self::App => 1,
        }
    }
}

impl Database {
    /// The applied version of the schema, and the version that this release needs.
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// use postrider::schema::MigrationSet;
    ///
    /// let status = database.schema_status(MigrationSet::Queue).await?;
    /// println!("version {} of {}", status.applied, status.needed);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Database`], [`Error::TimedOut`] after 5 s.
    pub async fn schema_status(&self, set: MigrationSet) -> Result<SchemaStatus, Error> {
        let tx = self.begin(Limits { statement: STATEMENT_LIMIT, lock: CHECK_LOCK_WAIT }).await?;
        let applied = within(STATEMENT_LIMIT, async {
            if !store::schema::table_exists(&tx, &set.record(self.schema())).await? {
                return Ok(0);
            }
            let applied = match set {
                MigrationSet::Queue => store::schema::queue_version(&tx).await?,
                #[cfg(feature = "bin")]
                MigrationSet::App => store::schema::app_version(&tx).await?,
            };
            let applied = u32::try_from(applied).unwrap_or(0);
            // The record alone is not enough: someone may have dropped tables.
            let is_whole = applied < set.needed() || first_missing(&tx, set, self.schema()).await?.is_none();
            Ok(if is_whole { applied } else { 0 })
        })
        .await?;
        Ok(SchemaStatus { set, applied, needed: set.needed() })
    }

    /// The rights that the role lacks, such as `INSERT on postrider.job`, of those that `sql/roles.sql` gives to the
    /// worker on the tables that exist.
    #[cfg(feature = "bin")]
    pub(crate) async fn missing_rights(&self, sets: &[MigrationSet]) -> Result<Vec<String>, Error> {
        let written: Vec<String> = sets.iter().flat_map(|set| set.tables(self.schema())).collect();
        let mut read: Vec<String> = sets.iter().flat_map(|set| set.views(self.schema())).collect();
        read.extend(sets.iter().map(|set| set.record(self.schema())));
        let tx = self.begin(Limits { statement: STATEMENT_LIMIT, lock: CHECK_LOCK_WAIT }).await?;
        within(STATEMENT_LIMIT, store::schema::missing_rights(&tx, &written, &read)).await
    }

    /// Checks that this release can use the schema.
    ///
    /// ```no_run
    /// # use postrider::Database;
    /// # async fn example(database: Database) -> Result<(), postrider::Error> {
    /// use postrider::schema::MigrationSet;
    ///
    /// // At the start of a service that leaves migrations to its deployment.
    /// database.require_schema(&[MigrationSet::Queue]).await?;
    /// # Ok(()) }
    /// ```
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

/// A table or view that a set lacks, although its migrations were applied.
async fn first_missing(client: &impl Queryable, set: MigrationSet, schema: &Schema) -> Result<Option<String>, Error> {
    let all = [set.tables(schema), set.views(schema)].concat();
    Ok(store::schema::missing_tables(client, &all).await?.into_iter().next())
}
