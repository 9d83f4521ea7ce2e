//! `GET /jobs/{id}?wait=…` (CONFORMANCE 46, 47).

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::process::Signal;
use crate::support::rows::number_becomes;
use crate::support::wait::{PATIENCE, within};
use crate::support::web::{Answer, WebService};
use crate::support::worker::{TestWorker, task};
use postrider::enqueue;
use serde_json::json;

/// The longest wait. No test waits for its end.
const LONGEST: &str = "55s";

async fn start() -> (TestDatabase, Arc<WebService>) {
    let db = TestDatabase::new().await;
    let web = WebService::start(&db).await;
    (db, Arc::new(web))
}

/// Asks for a job in the background, and returns once `web` waits for that many jobs.
async fn waiting(db: &TestDatabase, web: &Arc<WebService>, id: i64, all: i64) -> tokio::task::JoinHandle<Answer> {
    let asking = Arc::clone(web);
    let wait = tokio::spawn(async move { asking.get(&format!("/jobs/{id}?wait={LONGEST}")).await });
    number_becomes(&db.connect().await, "SELECT count(*) FROM postrider.job WHERE awaited", all).await;
    wait
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_with_the_job_once_it_is_finished() {
    let (db, web) = start().await;
    let client = db.connect().await;
    let id = enqueue(&client, &task("sums")).await.unwrap().id;
    let wait = waiting(&db, &web, id, 1).await;
    let worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1), |_, _| async { Ok(()) });
    let answer = within("the answer", Duration::from_secs(50), wait).await.unwrap();
    assert_eq!(answer.json(200)["state"], "completed");
    worker.stop().await;
    // It counts as a request, but its time is no latency.
    let metrics = web.get("/metrics").await.body;
    assert!(
        metrics.contains(r#"postrider_http_requests_total{method="GET",route="/jobs/{id}",status="200"} 1"#),
        "{metrics}"
    );
    assert!(!metrics.contains(r#"duration_seconds_count{method="GET",route="/jobs/{id}"}"#), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_time_it_answers_with_the_unfinished_job() {
    let (db, web) = start().await;
    let id = enqueue(&db.connect().await, &task("")).await.unwrap().id;
    let begin = std::time::Instant::now();
    let job = web.get(&format!("/jobs/{id}?wait=700ms")).await.json(200);
    assert_eq!(job["state"], "available");
    assert!(begin.elapsed() >= Duration::from_millis(700), "{:?}", begin.elapsed());
    assert_eq!(web.get("/jobs/987654?wait=50s").await.status, 404);
}

#[tokio::test]
async fn a_wait_of_more_than_55_s_or_of_no_time_is_refused() {
    let (_db, web) = start().await;
    for bad in ["56s", "2m", "soon", "-1s", "5"] {
        let problem = web.get(&format!("/jobs/1?wait={bad}")).await.problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("wait"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_answers_with_the_unfinished_job() {
    let (db, web) = start().await;
    let id = enqueue(&db.connect().await, &task("")).await.unwrap().id;
    let wait = waiting(&db, &web, id, 1).await;
    web.process.signal(Signal::Terminate);
    let answer = within("the answer", Duration::from_secs(50), wait).await.unwrap();
    assert_eq!(answer.json(200)["state"], "available");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_leave_the_connections_to_other_requests() {
    const WAITS: i64 = 30;
    let (db, web) = start().await;
    let client = db.connect().await;
    let mut waits = Vec::new();
    for number in 1..=WAITS {
        let id = enqueue(&client, &task("")).await.unwrap().id;
        waits.push(waiting(&db, &web, id, number).await);
    }
    // More than the pool has connections.
    let job = within("the enqueue", PATIENCE, web.post("/jobs", &json!({"kind": "k"}))).await.json(201);
    let cancel = |id: i64| format!("/jobs/{id}/cancel");
    for id in 1..=WAITS {
        web.act(&cancel(id)).await.json(200);
    }
    for wait in waits {
        assert_eq!(within("the answer", PATIENCE, wait).await.unwrap().json(200)["state"], "cancelled");
    }
    assert_eq!(web.get(&format!("/jobs/{}", job["id"])).await.json(200)["state"], "available");
}
