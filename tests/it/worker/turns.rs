//! Workers that share a backlog claim one after the other, and nobody's turn holds up the others.

use crate::support::database::TestDatabase;
use crate::support::rows::{number, number_becomes, workers_listen};
use crate::support::wait::{PATIENCE, within};
use crate::support::worker::{TestWorker, tasks};
use postrider::enqueue_many;
use tokio_postgres::Client;

/// Backends of the database that hold the turn of a queue, or wait for it.
const TURNS: &str = "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND objid >= 128
    AND classid::bigint = hashtext('postrider')::bigint & 4294967295
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
const FINISHED_ONCE: &str = "SELECT count(DISTINCT id) FROM postrider.job_history
    WHERE state = 'completed' AND attempt = 1";

fn worker(db: &TestDatabase) -> TestWorker {
    TestWorker::start(&db.database, |w| w.queue("default", 100), |_, _| async { Ok(()) })
}

/// Enqueues jobs until a claim waits for the turn. Returns its backend, and how many jobs were enqueued.
async fn waiting_claim(client: &Client) -> (i32, i64) {
    within("a claim waits for its turn", PATIENCE, async {
        let waiting = format!("SELECT pid {TURNS} AND NOT granted LIMIT 1");
        let mut enqueued = 0;
        let pid = loop {
            if number(client, "SELECT count(*) FROM postrider.job").await < 2_000 {
                enqueue_many(client, &tasks(1_000)).await.unwrap();
                enqueued += 1_000;
            }
            if let Some(row) = client.query_opt(&waiting, &[]).await.unwrap() {
                break row.get(0);
            }
        };
        (pid, enqueued)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_does_not_end_and_a_killed_wait_for_it_hold_up_no_job() {
    let db = TestDatabase::new().await;
    let (client, holder) = (db.connect().await, db.connect().await);
    let take = "SELECT pg_advisory_lock(hashtext('postrider'), 128 + postrider.idle_key('default'))";
    holder.execute(take, &[]).await.unwrap();
    let workers = [worker(&db), worker(&db)];
    workers_listen(&client, 2).await;
    let (pid, enqueued) = waiting_claim(&client).await;
    client.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    // A claim that was killed may have taken effect: its jobs were released, and have run once all the same.
    assert_eq!(number(&client, FINISHED_ONCE).await, enqueued);
    assert_eq!(number(&client, &format!("SELECT count(*) {TURNS} AND granted")).await, 1, "the test's own");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_ends_with_its_claim() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let workers = [worker(&db), worker(&db)];
    workers_listen(&client, 2).await;
    let (_, enqueued) = waiting_claim(&client).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    number_becomes(&client, &format!("SELECT count(*) {TURNS}"), 0).await;
    assert_eq!(number(&client, FINISHED_ONCE).await, enqueued);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_transaction_keeps_locked_holds_up_no_other() {
    let db = TestDatabase::new().await;
    let (client, holder) = (db.connect().await, db.connect().await);
    enqueue_many(&client, &tasks(5_000)).await.unwrap();
    let ids = "SELECT count(*), max(id) FROM (SELECT id FROM postrider.job ORDER BY id LIMIT 2500) AS half";
    let middle: i64 = client.query_one(ids, &[]).await.unwrap().get(1);
    holder.batch_execute(&format!("BEGIN; SELECT FROM postrider.job WHERE id = {middle} FOR UPDATE")).await.unwrap();
    let worker = worker(&db);
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 1).await;
    assert_eq!(number(&client, "SELECT id FROM postrider.job").await, middle);
    holder.batch_execute("COMMIT").await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    assert_eq!(number(&client, FINISHED_ONCE).await, 5_000);
    worker.stop().await;
}

/// Whether a claim takes a job that another transaction is changing, and that it waits for.
async fn is_claimed_after(change: &str, end: &str) -> bool {
    let db = TestDatabase::new().await;
    let (client, other, session) = (db.connect().await, db.connect().await, db.connect().await);
    enqueue_many(&client, &tasks(3)).await.unwrap();
    let worker = "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
        VALUES ('00000000-0000-0000-0000-000000000001', 1, 15000, 1, 'h', 'v', '{default}')";
    client.batch_execute(worker).await.unwrap();
    let middle = number(&client, "SELECT id FROM postrider.job ORDER BY id OFFSET 1 LIMIT 1").await;
    let prepare = format!(
        "PREPARE claim (text[], bigint[], text[], uuid, timestamptz[], bigint[]) AS {}",
        include_str!("../../../sql/queries/claim/claim.sql").replace(" FOR UPDATE SKIP LOCKED", "")
    );
    session.batch_execute(&prepare).await.unwrap();
    other.batch_execute(&format!("BEGIN; {change} WHERE id = {middle}")).await.unwrap();
    let claim = "EXECUTE claim ('{default}', '{100}', '{task}', '00000000-0000-0000-0000-000000000001',
        array_fill('1970-01-01Z'::timestamptz, ARRAY[4]), array_fill(0::bigint, ARRAY[4]))";
    let pending = tokio::spawn(async move { session.query(claim, &[]).await });
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'EXECUTE claim%'";
    number_becomes(&client, waits, 1).await;
    other.batch_execute(end).await.unwrap();
    let rows = pending.await.unwrap().unwrap();
    // The last row is about the claim.
    let claimed: Vec<i64> = rows.iter().filter_map(|row| row.get(0)).collect();
    let is_claimed = claimed.contains(&middle);
    assert_eq!(claimed.len(), if is_claimed { 3 } else { 2 });
    is_claimed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_a_job_as_the_transaction_leaves_it_that_it_waited_for() {
    for (change, end, expected) in [
        ("UPDATE postrider.job SET run_at = now() + interval '1 hour'", "COMMIT", false),
        ("UPDATE postrider.job SET running = true", "COMMIT", false),
        ("DELETE FROM postrider.job", "COMMIT", false),
        ("DELETE FROM postrider.job", "ROLLBACK", true),
    ] {
        assert_eq!(is_claimed_after(change, end).await, expected, "{change}; {end}");
    }
}
