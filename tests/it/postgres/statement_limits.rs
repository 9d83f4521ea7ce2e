//! Statements whose client is gone: the server ends them, and their connections are not used again.

use std::time::Duration;

use crate::support::command::worker;
use crate::support::database::TestDatabase;
use crate::support::process::{Process, Signal};
use crate::support::rows::job_becomes;
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{TestWorker, task};
use postrider::{Database, JobError, State, enqueue};

const WAITING: &str = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
const SLEEPING: &str =
    "pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep(599)%'
     AND pid <> pg_backend_pid()";

#[tokio::test]
async fn what_a_killed_command_waited_for_is_ended_by_the_server() {
    let db = TestDatabase::new().await;
    let holder = db.connect().await;
    holder.batch_execute("BEGIN; LOCK TABLE postrider.queue IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut command = Process::spawn(&mut worker(&db.url, ["pause", "default"]));
    db.until_blocked().await;
    command.signal(Signal::Kill);
    command.wait_for_exit(PATIENCE).await;
    // Its session still exists: the server notices the loss of its client only after the wait.
    assert_eq!(db.count(WAITING).await, 1);
    until("nobody waits", PATIENCE, async || (db.count(WAITING).await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_of_a_handler_that_was_cut_off_is_cancelled_and_its_connection_left() {
    let db = TestDatabase::new().await;
    let database = Database::from_url(&db.url).unwrap().with_pool_size(1);
    let client = db.connect().await;
    let sleeper = enqueue(&client, &task("sleeper")).max_attempts(1).await.unwrap().id;
    let worker = TestWorker::start(
        &database,
        |worker| worker.queue("default", 1).timeout(Duration::from_secs(1)),
        async |task, cx| {
            let sql = if task.name == "sleeper" { "SELECT pg_sleep(599)" } else { "SELECT 1" };
            let connection = cx.database().client().await.map_err(JobError::retry)?;
            connection.batch_execute(sql).await.map_err(JobError::retry)
        },
    );
    job_becomes(&client, sleeper, State::Discarded).await;
    let next = enqueue(&client, &task("next")).max_attempts(1).await.unwrap().id;
    job_becomes(&client, next, State::Completed).await;
    until("the statement has ended", PATIENCE, async || (db.count(SLEEPING).await == 0).then_some(())).await;
    within("the worker stops", PATIENCE, worker.stop()).await;
}

/// The sessions in which a worker waits for the lock on the leases.
const LEASE_SESSIONS: &str = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
     AND application_name = 'postrider lease'";

#[tokio::test]
async fn a_lock_on_the_leases_gathers_no_sessions() {
    let db = TestDatabase::new().await;
    // Once with limits of its sessions, once with limits of each transaction.
    for options in [&["run"][..], &["run", "--no-listen"]] {
        let running = Process::spawn(&mut worker(&db.url, options));
        running.wait_for_event("worker ready", PATIENCE).await;
        let holder = db.connect().await;
        holder.batch_execute("BEGIN; SELECT FROM postrider.worker FOR UPDATE").await.unwrap();
        running.wait_for_nth_event("heartbeat failed; trying again", 4, 2 * PATIENCE).await;
        let waiting = db.count(LEASE_SESSIONS).await;
        assert!(waiting <= 1, "{waiting} sessions of a worker wait for the lock, with {options:?}");
        running.signal(Signal::Kill);
        holder.batch_execute("ROLLBACK").await.unwrap();
    }
}
