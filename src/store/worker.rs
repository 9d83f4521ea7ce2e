//! Leases of workers, and taking back the jobs of dead ones.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::session::Session;
use super::sql;
use crate::job::JobId;
use crate::{Database, Error};

/// What a worker says about itself.
pub(crate) struct Registration<'r> {
    pub id: Uuid,
    pub lock_key: i64,
    pub lease_ms: i32,
    pub pid: i32,
    pub host: &'r str,
    pub version: &'r str,
    pub queues: &'r [&'r str],
}

/// Another worker, as one look showed it.
pub(crate) struct Peer {
    pub id: Uuid,
    pub heartbeat_at: DateTime<Utc>,
    pub lease_ms: i32,
    pub lock_is_free: bool,
}

/// A job taken back from a worker that is gone.
pub(crate) struct Rescued {
    pub id: JobId,
    pub kind: String,
    pub attempt: i32,
    pub max_attempts: i32,
    pub worker: Option<Uuid>,
    pub error: String,
    pub discarded: bool,
}

pub(crate) async fn register(database: &Database, worker: &Registration<'_>) -> Result<(), Error> {
    database
        .client()
        .await?
        .execute_typed(
            sql!("register_worker"),
            &[
                (&worker.id, Type::UUID),
                (&worker.lock_key, Type::INT8),
                (&worker.lease_ms, Type::INT4),
                (&worker.pid, Type::INT4),
                (&worker.host, Type::TEXT),
                (&worker.version, Type::TEXT),
                (&worker.queues, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// The connection of the heartbeat: not of the pool, whose connections handlers may all hold for
/// longer than the lease.
pub(crate) async fn open_session(database: &Database) -> Result<Session, Error> {
    // Without settings of its own it need not be direct.
    Session::open(database, "lease", false, "").await
}

/// Whether the lease still stands. Notifies the worker's own channel with `ping`.
pub(crate) async fn heartbeat(session: &Session, worker: Uuid, holds_lock: bool, ping: u64) -> Result<bool, Error> {
    let rows = session
        .query(
            sql!("heartbeat"),
            &[
                (&worker, Type::UUID),
                (&holds_lock, Type::BOOL),
                (&ping_channel(worker), Type::TEXT),
                (&ping.to_string(), Type::TEXT),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}

pub(crate) async fn deregister(database: &Database, worker: Uuid) -> Result<(), Error> {
    database.client().await?.execute_typed(sql!("deregister_worker"), &[(&worker, Type::UUID)]).await?;
    Ok(())
}

/// The channel on which a worker hears its own heartbeats.
pub(crate) fn ping_channel(worker: Uuid) -> String {
    format!("postrider_ping_{}", worker.simple())
}

/// Begins to hear the worker's own heartbeats.
pub(crate) async fn listen_ping(client: &Client, worker: Uuid) -> Result<(), Error> {
    Ok(client.batch_execute(&sql!("listen_ping").replace("{channel}", &ping_channel(worker))).await?)
}

/// Begins to hear of new jobs.
pub(crate) async fn listen_wake(client: &Client) -> Result<(), Error> {
    Ok(client.batch_execute(sql!("listen_wake")).await?)
}

/// Whether the session of `client` now holds the lock. Does not wait: a backend that is killed
/// while it waits keeps its locks.
pub(crate) async fn try_life_lock(client: &Client, lock_key: i64) -> Result<bool, Error> {
    Ok(client.query_typed_one(sql!("try_life_lock"), &[(&lock_key, Type::INT8)]).await?.try_get(0)?)
}

/// Ends a former session of this worker that still holds its life lock, and tells whether there was one.
pub(crate) async fn end_former_session(client: &Client, lock_key: i64) -> Result<bool, Error> {
    Ok(!client.query_typed(sql!("end_former_session"), &[(&lock_key, Type::INT8)]).await?.is_empty())
}

pub(crate) async fn look_at_peers(database: &Database, worker: Uuid) -> Result<Vec<Peer>, Error> {
    let rows =
        database.client_at_once("rescue").await?.query_typed(sql!("look_at_peers"), &[(&worker, Type::UUID)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Peer {
                id: row.try_get("id")?,
                heartbeat_at: row.try_get("heartbeat_at")?,
                lease_ms: row.try_get("lease_ms")?,
                lock_is_free: row.try_get("lock_is_free")?,
            })
        })
        .collect()
}

/// Gives a worker up, unless it gave a heartbeat after `heartbeat_at`, and takes back its jobs.
pub(crate) async fn rescue_worker(
    database: &Database,
    worker: Uuid,
    heartbeat_at: DateTime<Utc>,
    discarded_seconds: i64,
) -> Result<Vec<Rescued>, Error> {
    let mut client = database.client_at_once("rescue").await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(sql!("rescue_session")).await?;
    let rows = transaction
        .query_typed(
            sql!("rescue_worker"),
            &[(&worker, Type::UUID), (&heartbeat_at, Type::TIMESTAMPTZ), (&discarded_seconds, Type::INT8)],
        )
        .await?;
    let rescued = rows.iter().map(rescued).collect::<Result<_, _>>()?;
    transaction.commit().await?;
    Ok(rescued)
}

/// Takes back running jobs whose worker is not registered. Answers with them, and with how many others
/// somebody has locked.
pub(crate) async fn rescue_strays(database: &Database) -> Result<(Vec<Rescued>, usize), Error> {
    let rows = database.client_at_once("rescue").await?.query_typed(sql!("rescue_strays"), &[]).await?;
    let (mut back, mut locked) = (Vec::new(), 0);
    for row in &rows {
        if row.try_get("announced")? { back.push(rescued(row)?) } else { locked += 1 }
    }
    Ok((back, locked))
}

fn rescued(row: &Row) -> Result<Rescued, Error> {
    Ok(Rescued {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        worker: row.try_get("attempted_by")?,
        error: row.try_get("error")?,
        discarded: row.try_get("discarded")?,
    })
}
