//! Workers that share a backlog claim one after the other, and nobody's turn holds up the others.

use crate::support::database::TestDatabase;
use crate::support::rows::{number, number_becomes, workers_listen};
use crate::support::wait::{PATIENCE, until, within};
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
async fn a_worker_alone_waits_for_no_turn() {
    let db = TestDatabase::new().await;
    let (client, holder) = (db.connect().await, db.connect().await);
    let take = "SELECT pg_advisory_lock(hashtext('postrider'), 128 + postrider.idle_key('default'))";
    holder.execute(take, &[]).await.unwrap();
    let worker = worker(&db);
    workers_listen(&client, 1).await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    enqueue_many(&client, &tasks(10_000)).await.unwrap();
    until("the backlog is done", PATIENCE, || async {
        assert_eq!(number(&client, waits).await, 0, "a claim waits");
        (number(&client, "SELECT count(*) FROM postrider.job").await == 0).then_some(())
    })
    .await;
    worker.stop().await;
}
