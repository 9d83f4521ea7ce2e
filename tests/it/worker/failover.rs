//! A failover to a standby that lacks the newest commits: what was lost is lost, and nothing else. The
//! promoted server gives the ids of lost jobs out again, and has forgotten outcomes that were acknowledged.

use std::time::Duration;

use crate::support::cluster::{Cluster, OPEN};
use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::process::{Process, Signal};
use crate::support::rows::{number, number_becomes};
use crate::support::standby::{MAY_STREAM, Standby};
use postrider::{Args, NewJob, enqueue_many};
use serde_json::{Value, json};
use tokio_postgres::Client;

const SOON: Duration = Duration::from_mins(2);

async fn add(client: &Client, count: usize, args: &Value, max_attempts: u32) -> Vec<i64> {
    let probe = NewJob::new("probe", Args::of(args).unwrap()).unwrap().max_attempts(max_attempts).unwrap();
    ids_of(enqueue_many(client, &vec![probe; count]).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_loses_is_neither_taken_for_a_new_job_nor_left_running() {
    let primary = Cluster::start(&format!("{OPEN}{MAY_STREAM}"), &["max_connections = 50"]);
    let standby = Standby::of(&primary).await;
    let db = TestDatabase::in_cluster(&primary).await;
    let client = db.connect().await;
    let name = db.url.rsplit_once('/').unwrap().1.to_owned();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port());
    let url = format!("postgres://postrider@{hosts}/{name}?target_session_attrs=read-write");
    let mut worker = Process::spawn(&mut command::worker(&url, ["run", "--queues", "default:130"]));
    worker.wait_for_event("worker ready", SOON).await;

    // (a) Their outcomes are acknowledged, and the standby never hears of them.
    // They take long enough for the standby to be stopped meanwhile.
    let finished = add(&client, 20, &json!({"sleep_ms": 6000}), 1).await;
    let running = "SELECT count(*) FROM postrider.job WHERE running AND kind = 'probe'";
    number_becomes(&client, running, 20).await;
    standby.until_caught_up(&primary).await;
    standby.cut_off(&primary).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.job_history WHERE kind = 'probe'", 20).await;
    // (b) These are lost with the primary.
    let lost = add(&client, 100, &json!({"sleep_ms": 600_000}), 25).await;
    number_becomes(&client, running, 100).await;

    primary.kill_hard();
    let promoted = standby.promote();
    let client = promoted.connect(&name).await;

    // (c) New jobs with the ids of lost ones.
    let new = add(&client, 100, &json!({"fail": "as it must"}), 1).await;
    assert!(new.iter().any(|id| lost.contains(id)), "ids are given out again");
    let ended = "SELECT count(*) FROM postrider.job_history WHERE kind = 'probe' AND state =";
    number_becomes(&client, &format!("{ended} 'discarded' AND errors -> 0 ->> 'error' LIKE 'as it must%'"), 100).await;
    number_becomes(&client, &format!("{ended} 'completed'"), 20).await;
    number_becomes(&client, running, 0).await;
    let again = "SELECT count(DISTINCT id) FROM postrider.job_history WHERE state = 'completed' AND id = ANY ($1)";
    assert_eq!(client.query_one(again, &[&finished]).await.unwrap().get::<_, i64>(0), 20);
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job WHERE kind = 'probe'").await, 0);

    let told = worker.wait_for_event("database failed over", SOON).await;
    assert_eq!(
        (&told["level"], &told["former_timeline"], &told["timeline"]),
        (&json!("WARN"), &json!("00000001"), &json!("00000002"))
    );
    assert!(told["server_started_at"].as_str() > told["former_server_started_at"].as_str(), "{told}");
    assert_eq!(worker.events("database failed over").len(), 1);
    let stopped = worker.events("the database has lost a running job; its attempt is stopped");
    assert_eq!(stopped.len(), 100, "{}", worker.log());
    worker.signal(Signal::Terminate);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0), "{}", worker.log());
}
