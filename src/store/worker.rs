//! The statements of leases, and of the rescue of dead workers' jobs.
//!
//! Promises: one transaction deletes a lease and returns the jobs, only if no heartbeat has arrived since the probe. A
//! returned job is not `running`, so the fence of its lost attempt does not hold any more. A stranded job is identified
//! by its claim number. No statement waits for the liveness lock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient, Row};
use uuid::Uuid;

use super::session::Session;
use crate::error::Error;
use crate::job::{JobId, StoredTime};
use crate::postgres::{Database, Limits, Params, Queryable, Statements};
use crate::sql::sql;

/// The limits of a statement about the lease, or about the leases of peers.
const LEASE_LIMITS: Limits = Limits { statement: Duration::from_secs(3), lock: Duration::from_secs(2) };
/// The limits of a rescue.
const RESCUE_LIMITS: Limits = Limits { statement: Duration::from_secs(30), lock: Duration::from_secs(5) };

pub(crate) struct Registration<'r> {
    pub id: Uuid,
    pub lock_key: i64,
    pub lease_ms: i32,
    pub pid: i32,
    pub host: &'r str,
    pub version: &'r str,
    pub queues: &'r [&'r str],
    /// Of each queue.
    pub concurrency: &'r [i32],
    /// Periodic kinds, each followed by a space and its schedule.
    pub declares: &'r [String],
    /// The retention of cancelled jobs.
    pub cancelled_seconds: i64,
    /// When this process first registered. None for the first time.
    pub started_at: Option<DateTime<Utc>>,
}

impl Registration<'_> {
    fn params(&self) -> [(&(dyn ToSql + Sync), Type); 11] {
        [
            (&self.id, Type::UUID),
            (&self.lock_key, Type::INT8),
            (&self.lease_ms, Type::INT4),
            (&self.pid, Type::INT4),
            (&self.host, Type::TEXT),
            (&self.version, Type::TEXT),
            (&self.queues, Type::TEXT_ARRAY),
            (&self.concurrency, Type::INT4_ARRAY),
            (&self.declares, Type::TEXT_ARRAY),
            (&self.cancelled_seconds, Type::INT8),
            (&self.started_at, Type::TIMESTAMPTZ),
        ]
    }
}

/// The state of a peer at one check.
pub(crate) struct Peer {
    pub id: Uuid,
    pub heartbeat_at: DateTime<Utc>,
    pub lease_ms: i32,
    pub lock_is_free: bool,
}

pub(crate) struct Rescued {
    pub id: JobId,
    pub kind: String,
    pub attempt: i32,
    pub max_attempts: i32,
    pub worker: Option<Uuid>,
    pub error: String,
    pub discarded: bool,
}

/// Registers the worker. Returns its start time by the database's clock.
pub(crate) async fn register(database: &Database, worker: &Registration<'_>) -> Result<DateTime<Utc>, Error> {
    let tx = database.begin(LEASE_LIMITS).await?;
    let statements = Statements::on(&tx);
    let row = tx.commit_with(statements.query_typed_one(sql!("worker/register_worker"), &worker.params())).await?;
    Ok(row.try_get(0)?)
}

/// As [`register`], on a session of a test. Its time of start is that of its heartbeat, too.
#[cfg(feature = "testing")]
pub(crate) async fn register_on(session: &Session, worker: &Registration<'_>) -> Result<DateTime<Utc>, Error> {
    let rows = session.query(sql!("worker/register_worker"), &worker.params()).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

/// Opens the connection of heartbeats and probes. It is not from the pool: handlers may hold the whole pool for longer
/// than the lease.
pub(crate) async fn open_session(database: &Database, direct: bool) -> Result<Session, Error> {
    Session::open(database, "lease", direct, "", LEASE_LIMITS).await
}

/// The answer to a heartbeat.
pub(crate) struct Heartbeat {
    /// The start time of the server that answered.
    pub server_started_at: DateTime<Utc>,
    /// Whether the ping was sent. None is sent while the notification queue is nearly full.
    pub is_pinged: bool,
}

/// Renews the lease and sends `ping` to the worker's own channel. Returns None if the lease is gone.
pub(crate) async fn heartbeat(
    session: &Session,
    worker: Uuid,
    holds_lock: bool,
    ping: u64,
) -> Result<Option<Heartbeat>, Error> {
    let rows = session
        .query(
            sql!("worker/heartbeat"),
            &[
                (&worker, Type::UUID),
                (&holds_lock, Type::BOOL),
                (&ping_channel(worker), Type::TEXT),
                (&ping.to_string(), Type::TEXT),
            ],
        )
        .await?;
    let heartbeat = |row: &Row| {
        Ok(Heartbeat { server_started_at: row.try_get("server_started_at")?, is_pinged: row.try_get("is_pinged")? })
    };
    rows.first().map(heartbeat).transpose()
}

/// The server's timeline.
pub(crate) async fn timeline(session: &Session) -> Result<String, Error> {
    let rows = session.query(sql!("worker/timeline"), &[]).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

pub(crate) async fn deregister(database: &Database, worker: Uuid) -> Result<(), Error> {
    let tx = database.begin(LEASE_LIMITS).await?;
    tx.commit_with(Statements::on(&tx).query_typed(sql!("worker/deregister_worker"), &[(&worker, Type::UUID)])).await?;
    Ok(())
}

/// As [`deregister`], on a session of a test.
#[cfg(feature = "testing")]
pub(crate) async fn deregister_on(session: &Session, worker: Uuid) -> Result<(), Error> {
    session.query(sql!("worker/deregister_worker"), &[(&worker, Type::UUID)]).await?;
    Ok(())
}

/// The channel of a worker's pings.
pub(crate) fn ping_channel(worker: Uuid) -> String {
    format!("postrider_ping_{}", worker.simple())
}

/// Listens to the worker's own pings.
pub(crate) async fn listen_ping(client: &impl Queryable, worker: Uuid) -> Result<(), Error> {
    let statement = sql!("worker/listen_ping").replace("{channel}", &ping_channel(worker));
    Ok(client.raw().batch_execute(&statement).await?)
}

/// Makes the server limit the statements of a listener, and detect that its connection is broken.
pub(crate) async fn limit_listener(client: &Client) -> Result<(), Error> {
    Session::set_up(client, "", LEASE_LIMITS).await
}

/// Listens to notifications of jobs.
pub(crate) async fn listen_wake(client: &impl Queryable) -> Result<(), Error> {
    Ok(Statements::on(client).batch_execute(sql!("worker/listen_wake")).await?)
}

/// Tries to acquire the lock for the session of `client`. Does not wait: a backend that is killed while it waits keeps
/// its locks.
pub(crate) async fn try_liveness_lock(client: &impl Queryable, lock_key: i64) -> Result<bool, Error> {
    Ok(Statements::on(client)
        .query_typed_one(sql!("worker/try_liveness_lock"), &[(&lock_key, Type::INT8)])
        .await?
        .try_get(0)?)
}

/// Terminates a former session of this worker that still holds its liveness lock. Returns whether it found one.
pub(crate) async fn end_former_session(client: &impl Queryable, lock_key: i64) -> Result<bool, Error> {
    Ok(!Statements::on(client)
        .query_typed(sql!("worker/end_former_session"), &[(&lock_key, Type::INT8)])
        .await?
        .is_empty())
}

pub(crate) async fn probe_peers(session: &Session, worker: Uuid) -> Result<Vec<Peer>, Error> {
    let rows = session.query(sql!("worker/probe_peers"), &[(&worker, Type::UUID)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Peer {
                id: row.try_get("id")?,
                heartbeat_at: row.try_get::<_, StoredTime>("heartbeat_at")?.0,
                lease_ms: row.try_get("lease_ms")?,
                lock_is_free: row.try_get("lock_is_free")?,
            })
        })
        .collect()
}

/// Declares a worker dead, unless it sent a heartbeat after `heartbeat_at`, and rescues its jobs. Without `discards`, the
/// jobs that would be discarded stay as they are: stranded.
pub(crate) async fn rescue_worker(
    database: &Database,
    worker: Uuid,
    heartbeat_at: DateTime<Utc>,
    discarded_seconds: i64,
    discards: bool,
) -> Result<Vec<Rescued>, Error> {
    let tx = database.begin_without_wait("rescue", RESCUE_LIMITS).await?;
    let statements = Statements::on(&tx);
    statements.batch_execute(sql!("worker/rescue_session")).await?;
    let params: Params<'_> = &[
        (&worker, Type::UUID),
        (&heartbeat_at, Type::TIMESTAMPTZ),
        (&discarded_seconds, Type::INT8),
        (&discards, Type::BOOL),
    ];
    let rows = tx.commit_with(statements.query_typed(sql!("worker/rescue_worker"), params)).await?;
    rows.iter().map(rescued).collect()
}

/// As [`rescue_worker`], on a session of a test.
#[cfg(feature = "testing")]
pub(crate) async fn rescue_on(
    session: &Session,
    worker: Uuid,
    heartbeat_at: DateTime<Utc>,
    discarded_seconds: i64,
) -> Result<(), Error> {
    let params: Params<'_> = &[
        (&worker, Type::UUID),
        (&heartbeat_at, Type::TIMESTAMPTZ),
        (&discarded_seconds, Type::INT8),
        (&true, Type::BOOL),
    ];
    session.query(sql!("worker/rescue_worker"), params).await?;
    Ok(())
}

/// Rescues stranded jobs. Returns them, and the number of others that are locked.
pub(crate) async fn rescue_stranded(database: &Database) -> Result<(Vec<Rescued>, usize), Error> {
    let tx = database.begin_without_wait("rescue", RESCUE_LIMITS).await?;
    let statements = Statements::on(&tx);
    statements.batch_execute(sql!("worker/rescue_session")).await?;
    let rows = tx.commit_with(statements.query_typed(sql!("worker/rescue_stranded"), &[])).await?;
    let (mut returned, mut locked) = (Vec::new(), 0);
    for row in &rows {
        if row.try_get("is_returned")? { returned.push(rescued(row)?) } else { locked += 1 }
    }
    Ok((returned, locked))
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
