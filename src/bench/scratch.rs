//! The database to measure in, made for one run and dropped after it.
//!
//! Promises: nothing else on the server is touched; it is gone after success, failure and signals;
//! what a killed run has left behind is dropped by the next one, and only that: it must bear our mark,
//! and the lock of its run must be free. The lock is taken before the database is there.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

use super::error::BenchError;
use super::store::scratch::{self as store, ScratchName};
use crate::{Database, Error};

/// How long dropping may take: a checkpoint may come first.
const DROP_WITHIN: Duration = Duration::from_mins(2);

/// A scratch database of this run.
pub(super) struct Scratch {
    /// The scratch database itself.
    pub database: Database,
    /// A connection to the database that `DATABASE_URL` names, which holds the run's lock.
    pub admin: Client,
    server: Database,
    name: ScratchName,
}

impl Scratch {
    /// Makes one, empty, after dropping those of dead runs. Must not be cut off half-way.
    pub async fn make(server: &Database) -> Result<Self, BenchError> {
        let admin = connect(server).await?;
        let (role, allowed) = store::may_create(&admin).await?;
        if !allowed {
            return Err(BenchError::MayNotCreate { role });
        }
        for dead in store::dead_runs(&admin).await? {
            // Another run may have been quicker, which is as well.
            if let Err(error) = store::drop(&admin, &dead).await {
                tracing::warn!(%error, database = dead.as_str(), "scratch database of a dead run not dropped");
            }
        }
        let lock = fastrand::i64(..);
        if !store::take_run_lock(&admin, lock).await? {
            return Err(Error::Connect(format!("the advisory lock {lock} is held by another session")).into());
        }
        let name = ScratchName::of(lock);
        let database = server.beside(name.as_str());
        let scratch = Self { database, admin, server: server.clone(), name };
        match store::create(&scratch.admin, &scratch.name).await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                // It may be there all the same.
                let _ = scratch.remove().await;
                Err(error.into())
            }
        }
    }

    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Drops it, whoever is connected.
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
    let (client, connection) = server.connect_listen("bench").await?;
    tokio::spawn(connection);
    store::set_session(&client).await?;
    Ok(client)
}
