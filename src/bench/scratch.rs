//! The scratch database, created for one run and dropped after it.
//!
//! Promises: nothing else on the server is changed. The database is dropped after success, failure and signals. After
//! a killed run, the next run drops it. A run drops other databases only if they have our mark and the lock of their
//! run is free. The lock is taken before the database is created.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

use super::error::BenchError;
use super::store::scratch::{self as store, ScratchName};
use crate::error::Error;
use crate::postgres::Database;

/// The time limit of the drop, which may wait for a checkpoint.
const DROP_WITHIN: Duration = Duration::from_mins(2);

/// The scratch database of this run.
pub(super) struct Scratch {
    /// The handle of the scratch database.
    pub database: Database,
    /// A connection to the database of `DATABASE_URL`. It holds the run's lock.
    pub admin: Client,
    server: Database,
    name: ScratchName,
}

impl Scratch {
    /// Drops the databases of dead runs, then creates an empty one. Must not be dropped before it returns.
    pub async fn make(server: &Database) -> Result<Self, BenchError> {
        let admin = connect(server).await?;
        let (role, allowed) = store::may_create(&admin).await?;
        if !allowed {
            return Err(BenchError::MayNotCreate { role });
        }
        for dead in store::dead_runs(&admin).await? {
            // Another run may have dropped it first, which is harmless.
            if let Err(error) = store::drop(&admin, &dead).await {
                tracing::warn!(%error, database = dead.as_str(), "scratch database of a dead run not dropped");
            }
        }
        let lock = fastrand::i64(..);
        if !store::take_run_lock(&admin, lock).await? {
            return Err(Error::connect(format!("the advisory lock {lock} is held by another session")).into());
        }
        let name = ScratchName::of(lock);
        let database = server.beside(name.as_str());
        let scratch = Self { database, admin, server: server.clone(), name };
        match store::create(&scratch.admin, &scratch.name).await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                // The database may exist despite the error.
                let _ = scratch.remove().await;
                Err(error.into())
            }
        }
    }

    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Drops the database even if sessions are connected to it.
    pub async fn remove(self) -> Result<(), BenchError> {
        let dropped = timeout(DROP_WITHIN, async {
            if self.admin.is_closed() {
                return store::drop(&connect(&self.server).await?, &self.name).await;
            }
            store::drop(&self.admin, &self.name).await
        });
        let seconds = DROP_WITHIN.as_secs();
        Ok(dropped.await.map_err(|_| BenchError::Stalled { what: "the end of the scratch database", seconds })??)
    }
}

async fn connect(server: &Database) -> Result<Client, Error> {
    let (client, connection) = server.connect_direct("bench").await?;
    tokio::spawn(connection);
    store::set_session(&client).await?;
    Ok(client)
}
