//! The five criteria that the project began with, each seen through the real programs.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use support::command;
use support::database::TestDatabase;
use support::process::{Process, Signal};
use support::wait::until;
use support::web::WebService;

const SOON: Duration = Duration::from_secs(10);

/// SC-1
#[tokio::test]
async fn the_worker_starts_within_five_seconds_and_stops_gracefully() {
    let db = TestDatabase::new().await;
    let mut worker = Process::spawn(&mut command::worker(&db.url, ["run"]));
    let ready = worker.wait_for_event("worker ready", Duration::from_secs(5)).await;
    assert_eq!(ready["queues"], "default:100");
    assert_eq!(ready["listen"], true);
    assert!(ready["worker_id"].as_str().is_some_and(|id| id.len() == 36), "{ready}");

    worker.signal(Signal::Interrupt);
    let status = worker.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    assert_eq!(worker.events("shutting down").len(), 1);
    let complete = worker.events("shutdown complete");
    assert_eq!((&complete[0]["completed"], &complete[0]["abandoned"]), (&json!(0), &json!(0)));
}

/// SC-2
#[tokio::test]
async fn the_heartbeat_runs_at_start_and_on_schedule_and_the_cleanup_does_not_run_at_start() {
    let db = TestDatabase::new().await;
    let worker = Process::spawn(&mut command::worker(&db.url, ["run", "--heartbeat-interval", "2s"]));
    let first = worker.wait_for_nth_event("worker heartbeat", 1, SOON).await;
    let first_seen = Instant::now();
    let second = worker.wait_for_nth_event("worker heartbeat", 2, SOON).await;
    let apart = first_seen.elapsed();
    assert!(first["job_id"].is_i64() && first["attempt"] == 1, "{first}");
    assert_ne!(first["job_id"], second["job_id"]);
    assert!(apart > Duration::from_secs(1) && apart < Duration::from_secs(6), "{apart:?}");

    let client = db.connect().await;
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

/// SC-3
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
    let waited = at(&second, "timestamp") - at(&first, "timestamp");
    assert!((800..3_000).contains(&waited.num_milliseconds()), "about a second: {waited}");
    let next = at(&second, "next_run_at") - at(&second, "timestamp");
    assert!((14_000..18_000).contains(&next.num_milliseconds()), "about 16 seconds: {next}");

    let mut failed = command::worker(&db.url, ["failed", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let jq = Command::new("jq")
        .args(["-r", r#""\(.id) \(.state) \(.attempt) \(.error)""#])
        .stdin(failed.stdout.take().unwrap())
        .output()
        .expect("jq is there: scripts/test sees to it");
    assert!(failed.wait().unwrap().success() && jq.status.success());
    assert_eq!(String::from_utf8(jq.stdout).unwrap(), format!("{id} retryable 2 no luck\n"));
}

/// SC-4
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

/// SC-5
#[test]
fn the_readme_says_how_to_run_the_worker_beside_the_web_binary() {
    let readme = include_str!("../README.md");
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
