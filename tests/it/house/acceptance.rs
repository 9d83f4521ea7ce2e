//! The five criteria that the project began with, each seen through the real programs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::process::{Process, Signal};
use crate::support::rows::{assert_about, retry_delay};
use crate::support::timing::takes_less_than;
use crate::support::wait::until;
use crate::support::web::WebService;
use serde_json::json;

const SOON: Duration = Duration::from_mins(1);

/// Criterion 1.
#[tokio::test]
async fn the_worker_starts_within_five_seconds_and_stops_gracefully() {
    takes_less_than(Duration::from_secs(5), "to start", start_and_stop).await;
}

/// Returns how long the start took.
async fn start_and_stop() -> Duration {
    let db = TestDatabase::new().await;
    let spawned = Instant::now();
    let mut worker = Process::spawn(&mut command::worker(&db.url, ["run"]));
    let ready = worker.wait_for_event("worker ready", SOON).await;
    let took = spawned.elapsed();
    assert_eq!(ready["queues"], "default:100");
    assert_eq!(ready["listen"], true);
    assert!(ready["worker_id"].as_str().is_some_and(|id| id.len() == 36), "{ready}");

    worker.signal(Signal::Interrupt);
    let status = worker.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    assert_eq!(worker.events("shutting down").len(), 1);
    let complete = worker.events("shutdown complete");
    assert_eq!((&complete[0]["completed"], &complete[0]["abandoned"]), (&json!(0), &json!(0)));
    took
}

/// Criterion 2.
#[tokio::test]
async fn the_heartbeat_runs_at_start_and_on_schedule_and_the_cleanup_does_not_run_at_start() {
    let db = TestDatabase::new().await;
    let worker = Process::spawn(&mut command::worker(&db.url, ["run", "--heartbeat-interval", "2s"]));
    let first = worker.wait_for_nth_event("worker heartbeat", 1, SOON).await;
    let second = worker.wait_for_nth_event("worker heartbeat", 2, SOON).await;
    assert!(first["job_id"].is_i64() && first["attempt"] == 1, "{first}");
    assert_ne!(first["job_id"], second["job_id"]);

    let client = db.connect().await;
    // By the database's clock: one before the first tick, one with it.
    let on_schedule =
        "SELECT schedule = 'every 2000 ms' AND extract(epoch FROM next_tick - first_tick)::numeric % 2 = 0
                          AND (SELECT created_at < first_tick FROM postrider.jobs WHERE id = $1)
                          AND (SELECT created_at >= first_tick FROM postrider.jobs WHERE id = $2)
                       FROM postrider.periodic WHERE kind = 'heartbeat'";
    let ids = [&first, &second].map(|event| event["job_id"].as_i64().unwrap());
    let row = client.query_one(on_schedule, &[&ids[0], &ids[1]]).await.unwrap();
    assert!(row.get::<_, bool>(0), "{first} {second}");
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'),
                    (SELECT next_tick - first_tick = interval '0' AND first_tick > now() + interval '50 minutes'
                     FROM postrider.periodic WHERE kind = 'orphan_file_cleanup')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (0, true));
}

/// Criterion 3.
#[tokio::test]
async fn a_failing_job_is_retried_with_backoff_and_seen_through_jq() {
    let db = TestDatabase::new().await;
    let worker = Process::spawn(&mut command::worker(&db.url, ["run"]));
    worker.wait_for_event("worker ready", SOON).await;
    let enqueued = command::worker(&db.url, ["enqueue", "probe", r#"{"fail": "no luck"}"#]).output().unwrap();
    let id: i64 = String::from_utf8(enqueued.stdout).unwrap().trim().parse().unwrap();

    let first = worker.wait_for_nth_event("job failed", 1, SOON).await;
    let second = worker.wait_for_nth_event("job failed", 2, SOON).await;
    assert_eq!((&first["job_id"], &first["kind"], &first["attempt"]), (&json!(id), &json!("probe"), &json!(1)));
    assert_eq!((&first["max_attempts"], &first["error"]), (&json!(25), &json!("no luck")));
    assert_eq!(second["attempt"], 2);
    let at = |event: &serde_json::Value, field: &str| {
        chrono::DateTime::parse_from_rfc3339(event[field].as_str().unwrap()).unwrap()
    };
    assert!(at(&second, "timestamp") >= at(&first, "next_run_at"), "not before its time");
    let client = db.connect().await;
    let failed_first = "SELECT (errors -> 0 ->> 'at')::timestamptz FROM postrider.job WHERE id = $1";
    let failed_first: chrono::DateTime<chrono::Utc> = client.query_one(failed_first, &[&id]).await.unwrap().get(0);
    let delay = at(&first, "next_run_at").to_utc() - failed_first;
    assert_about(delay.as_seconds_f64(), 1.0);
    assert_about(retry_delay(&client, id).await, 16.0);

    let mut failed = command::worker(&db.url, ["failed", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let jq = Command::new("jq")
        .args(["-r", r#""\(.id) \(.state) \(.attempt) \(.error)""#])
        .stdin(failed.stdout.take().unwrap())
        .output()
        .expect("jq is there: scripts/test sees to it");
    assert!(failed.wait().unwrap().success() && jq.status.success());
    assert_eq!(String::from_utf8(jq.stdout).unwrap(), format!("{id} retryable 2 no luck\n"));
}

/// Criterion 4.
#[tokio::test]
async fn what_the_web_binary_enqueues_the_worker_runs() {
    let db = TestDatabase::new().await;
    let (web, worker) = (
        WebService::start(&db).await,
        Process::spawn(&mut command::worker(&db.url, ["run", "--poll-interval", "60s"])),
    );
    worker.wait_for_event("worker ready", SOON).await;
    let job = web.post("/jobs", &json!({"kind": "probe", "args": {"sleep_ms": 1}})).await.json(201);
    let path = format!("/jobs/{}", job["id"]);
    until("the job is completed", SOON, || async {
        (web.get(&path).await.json(200)["state"] == "completed").then_some(())
    })
    .await;
}

/// Criterion 5.
#[test]
fn the_readme_says_how_to_run_the_worker_beside_the_web_binary() {
    let readme = include_str!("../../../README.md");
    let shown: Vec<&str> = readme.lines().filter_map(|line| line.split('#').next()).map(str::trim).collect();
    let commands: Vec<&&str> =
        shown.iter().filter(|line| line.starts_with("worker run ") || line.starts_with("web ")).collect();
    assert!(commands.len() >= 2, "{commands:?}");
    // What it shows exists: each flag is one that the program knows.
    for command in commands {
        let mut words = command.split_whitespace();
        let program = match words.next() {
            Some("web") => env!("CARGO_BIN_EXE_web"),
            _ => env!("CARGO_BIN_EXE_worker"),
        };
        let subcommand: Vec<&str> = words.clone().take_while(|word| !word.starts_with('-')).collect();
        let help = Command::new(program).args(subcommand).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{command}: {flag} is not in the help");
        }
    }
}
