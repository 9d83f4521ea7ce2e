//! How soon a job starts: `POST /jobs` to the real `web`, run by the real `worker`.
//!
//! The only tests with a bound in time, and a generous one: what counts is printed.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::command::worker;
use support::database::TestDatabase;
use support::process::Process;
use support::wait::until;
use support::web::WebService;

const JOBS: usize = 200;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn pickup_latency_by_notification() {
    let db = TestDatabase::new().await;
    let web = WebService::start(&db).await;
    // So rare a poll cannot explain a quick start.
    let worker = Process::spawn(&mut worker(&db.url, ["run", "--poll-interval", "60s", "--heartbeat-interval", "1h"]));
    // The heartbeat of the start is over before the first measurement.
    worker.wait_for_nth_event("worker heartbeat", 1, SOON).await;

    let mut latencies = Vec::with_capacity(JOBS);
    for nth in 2..JOBS + 2 {
        let sent = Instant::now();
        let job = web.post("/jobs", &json!({"kind": "heartbeat"})).await.json(201);
        let started = worker.wait_for_nth_event("worker heartbeat", nth, SOON).await;
        latencies.push(sent.elapsed());
        assert_eq!(started["job_id"], job["id"]);
    }
    let [p50, _, _, max] = report("POST /jobs sent to first line of the handler, LISTEN", &mut latencies);
    assert!(p50 < Duration::from_millis(20), "p50 {p50:?}");
    assert!(max < Duration::from_secs(1), "max {max:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pickup_latency_by_polling_alone() {
    let db = TestDatabase::new().await;
    let web = WebService::start(&db).await;
    let worker = Process::spawn(&mut worker(
        &db.url,
        ["run", "--no-listen", "--poll-interval", "200ms", "--heartbeat-interval", "1h"],
    ));
    worker.wait_for_nth_event("worker heartbeat", 1, SOON).await;

    let mut pace = tokio::time::interval(Duration::from_millis(25));
    for _ in 0..JOBS {
        pace.tick().await;
        web.post("/jobs", &json!({"kind": "probe"})).await.json(201);
    }
    let client = db.connect().await;
    // The database's clock tells both ends.
    let mut latencies = until("all jobs are completed", SOON, || async {
        let rows = client
            .query(
                "SELECT extract(epoch FROM attempted_at - created_at)::double precision
                 FROM postrider.jobs WHERE kind = 'probe' AND state = 'completed'",
                &[],
            )
            .await
            .unwrap();
        (rows.len() == JOBS).then(|| rows.iter().map(|row| Duration::from_secs_f64(row.get(0))).collect::<Vec<_>>())
    })
    .await;
    let [.., max] = report("enqueued to claimed, polling every 200 ms", &mut latencies);
    assert!(max <= Duration::from_millis(400), "within two polls: {max:?}");
}

/// Prints and returns p50, p95, p99 and max.
fn report(what: &str, latencies: &mut [Duration]) -> [Duration; 4] {
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let figures = [at(50), at(95), at(99), at(100)];
    let [p50, p95, p99, max] = figures.map(|latency| latency.as_secs_f64() * 1000.0);
    println!("{what}: {} jobs, p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, max {max:.2} ms", latencies.len());
    figures
}
