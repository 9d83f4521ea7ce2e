//! The server's notification queue, which all databases of a cluster share, is full.

use std::time::Duration;

use crate::support::cluster::{Cluster, OPEN};
use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::process::{Process, Signal};
use crate::support::rows::{job, job_becomes, number};
use crate::support::wait::until;
use postrider::{Args, NewJob, State};
use serde_json::json;

const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_notification_queue_costs_instant_wake_ups_and_nothing_else() {
    // Before 17 the queue takes 8 GB.
    let settings = ["max_notify_queue_pages = 64"];
    let Some(cluster) = Cluster::start_version(17, OPEN, &settings) else {
        println!("not seen: the Postgres here is older than 17");
        return;
    };
    let db = TestDatabase::in_cluster(&cluster).await;
    let client = db.connect().await;
    let listening = Process::spawn(&mut command::worker(&db.url, ["run", "--lease", "6s"]));
    listening.wait_for_event("worker ready", SOON).await;

    // Another program's listener, in another database and a long transaction.
    let slow = cluster.connect("postgres").await;
    slow.batch_execute("LISTEN news").await.unwrap();
    slow.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let loud = cluster.connect("postgres").await;
    until("the queue is full", SOON, async || {
        loud.batch_execute("SELECT pg_notify('news', repeat('x', 7000))").await.is_err().then_some(())
    })
    .await;

    listening.wait_for_line(|line| line.contains("notification queue is nearly full, so none are sent"), SOON).await;
    let polling =
        Process::spawn(&mut command::worker(&db.url, ["run", "--lease", "6s", "--queues", "polled", "--no-listen"]));
    polling.wait_for_event("worker ready", SOON).await;
    let beat = "SELECT (extract(epoch FROM min(heartbeat_at)) * 1000)::bigint FROM postrider.worker";
    let before = number(&client, beat).await;
    // Each is added while a worker is idle.
    for n in 0..10 {
        let queue = if n % 2 == 0 { "default" } else { "polled" };
        let probe = NewJob::new("probe", Args::of(&json!({})).unwrap()).unwrap().queue(queue).unwrap();
        let id = ids_of(postrider::enqueue_many(&client, &[probe]).await.unwrap())[0];
        job_becomes(&client, id, State::Completed).await;
    }
    let probe = NewJob::new("probe", Args::of(&json!({"sleep_ms": 600_000})).unwrap()).unwrap();
    let long = ids_of(postrider::enqueue_many(&client, &[probe]).await.unwrap())[0];
    job_becomes(&client, long, State::Running).await;
    postrider::admin::cancel(&client, long).await.unwrap();
    job_becomes(&client, long, State::Cancelled).await;
    until("both workers gave heartbeats for longer than their leases", SOON, async || {
        (number(&client, beat).await > before + 12_000).then_some(())
    })
    .await;
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.worker").await, 2);
    for worker in [&listening, &polling] {
        assert!(worker.events("worker declared dead").is_empty(), "{}", worker.log());
        assert!(worker.events("heartbeat failed; trying again").is_empty(), "{}", worker.log());
    }
    let told = |log: &str| log.matches("notification queue is nearly full, so none are sent").count();
    assert_eq!(told(&listening.log()), 1, "said once: {}", listening.log());

    slow.batch_execute("COMMIT").await.unwrap();
    listening.wait_for_event("the server sends notifications again", SOON).await;
    let id = ids_of(
        postrider::enqueue_many(&client, &[NewJob::new("probe", Args::of(&json!({})).unwrap()).unwrap()])
            .await
            .unwrap(),
    )[0];
    job_becomes(&client, id, State::Completed).await;
    assert_eq!(job(&client, id).await.attempt, 1);
    for mut worker in [listening, polling] {
        worker.signal(Signal::Terminate);
        assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0), "{}", worker.log());
    }
}
