//! How soon a job starts: `POST /jobs` to the real `web`, run by the real `worker`.
//!
//! Their bounds are generous: what counts is printed.

use std::time::{Duration, Instant};

use crate::support::command::worker;
use crate::support::database::TestDatabase;
use crate::support::process::Process;
use crate::support::timing::in_some_round;
use crate::support::wait::until;
use crate::support::web::WebService;
use serde_json::json;

const JOBS: usize = 200;
const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn pickup_latency_by_notification() {
    let db = TestDatabase::new().await;
    let web = WebService::start(&db).await;
    // So rare a poll cannot explain a quick start.
    let worker = Process::spawn(&mut worker(&db.url, ["run", "--poll-interval", "60s", "--heartbeat-interval", "1h"]));
    // The heartbeat of the start is over before the first measurement.
    worker.wait_for_nth_event("worker heartbeat", 1, SOON).await;

    let mut seen = 1;
    let measure = async || {
        let mut latencies = Vec::with_capacity(JOBS);
        for _ in 0..JOBS {
            seen += 1;
            let sent = Instant::now();
            let job = web.post("/jobs", &json!({"kind": "heartbeat"})).await.json(201);
            let started = worker.wait_for_nth_event("worker heartbeat", seen, SOON).await;
            latencies.push(sent.elapsed());
            assert_eq!(started["job_id"], job["id"]);
        }
        report("POST /jobs sent to first line of the handler, LISTEN", &mut latencies)
    };
    // A pause before each fetch, or a poll, would slow down all of them, so also the fastest tenth; a
    // notification that is missed shows in the slowest. What a busy machine does shows in between.
    in_some_round("jobs start at once, p10 under 20 ms and max under 1 s", measure, |[p10, .., max]| {
        *p10 < Duration::from_millis(20) && *max < Duration::from_secs(1)
    })
    .await;
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

    let client = db.connect().await;
    let mut last = 0_i64;
    let measure = async || {
        let mut pace = tokio::time::interval(Duration::from_millis(25));
        for _ in 0..JOBS {
            pace.tick().await;
            web.post("/jobs", &json!({"kind": "probe"})).await.json(201);
        }
        // The database's clock measures both ends.
        let times = "SELECT extract(epoch FROM attempted_at - created_at)::double precision, id
                     FROM postrider.jobs WHERE kind = 'probe' AND state = 'completed' AND id > $1 ORDER BY id";
        let rows = until("all jobs are completed", SOON, async || {
            let rows = client.query(times, &[&last]).await.unwrap();
            (rows.len() == JOBS).then_some(rows)
        })
        .await;
        last = rows[JOBS - 1].get(1);
        let mut latencies: Vec<Duration> = rows.iter().map(|row| Duration::from_secs_f64(row.get(0))).collect();
        report("enqueued to claimed, polling every 200 ms", &mut latencies)
    };
    in_some_round("jobs start within two polls, 400 ms", measure, |[.., max]| *max <= Duration::from_millis(400)).await;
}

/// Prints and returns p10, p50, p95, p99 and max.
fn report(what: &str, latencies: &mut [Duration]) -> [Duration; 5] {
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let figures = [at(10), at(50), at(95), at(99), at(100)];
    let [_, p50, p95, p99, max] = figures.map(|latency| latency.as_secs_f64() * 1000.0);
    println!("{what}: {} jobs, p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, max {max:.2} ms", latencies.len());
    figures
}
