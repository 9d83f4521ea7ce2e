//! Middleware around the handlers.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use postrider::worker::Next;
use postrider::{Context, Job, JobError, Shutdown, State, Worker, admin, enqueue};
use serde::{Deserialize, Serialize};

use crate::support::database::TestDatabase;
use crate::support::rows::{job, job_becomes};
use crate::support::wait::{PATIENCE, until, within};

/// A job that does what its name says.
#[derive(Debug, Serialize, Deserialize)]
struct Do(String);

impl Job for Do {
    const KIND: &'static str = "do";
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30));
}

/// The same in little time.
#[derive(Debug, Serialize, Deserialize)]
struct DoBriefly(String);

impl Job for DoBriefly {
    const KIND: &'static str = "do_briefly";
    const TIMEOUT: Option<Duration> = Some(Duration::from_millis(200));
}

/// The same, on a thread and in batches.
#[derive(Debug, Serialize, Deserialize)]
struct DoBlocking(String);

impl Job for DoBlocking {
    const KIND: &'static str = "do_blocking";
}

#[derive(Debug, Serialize, Deserialize)]
struct DoMany(String);

impl Job for DoMany {
    const KIND: &'static str = "do_many";
}

/// What has happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// What the outer layer hands on.
struct Tenant(String);

fn say(cx: &Context<Log>, text: impl Into<String>) {
    cx.state().lock().push(text.into());
}

async fn outer(cx: Context<Log>, next: Next) -> Result<postrider::worker::HandlerOutput, JobError> {
    say(&cx, "outer begins");
    cx.insert(Tenant(format!("tenant of {}", cx.kind())));
    let result = next.run().await;
    say(&cx, if result.is_ok() { "outer: ok" } else { "outer: failed" });
    result
}

async fn inner(cx: Context<Log>, next: Next) -> Result<postrider::worker::HandlerOutput, JobError> {
    if cx.queue() == "forbidden" {
        return Err(JobError::discard("not allowed"));
    }
    match next.run().await {
        Err(JobError::Retry { error, .. }) if error.to_string() == "translate me" => {
            Err(JobError::discard("translated"))
        }
        result => result,
    }
}

async fn act(text: String, cx: &Context<Log>) -> Result<String, JobError> {
    let tenant = cx.get::<Tenant>().expect("the layer has added it");
    say(cx, tenant.0.clone());
    match text.as_str() {
        "fails" => Err(JobError::discard("no luck")),
        "is translated" => Err(JobError::retry("translate me")),
        "panics" => panic!("on purpose"),
        "hangs" => {
            cx.cancelled().await;
            std::future::pending().await
        }
        other => Ok(format!("{other} done")),
    }
}

/// A worker with both layers, and what it has logged.
fn start(db: &TestDatabase) -> (Log, Shutdown, tokio::task::JoinHandle<()>) {
    let (log, shutdown) = (Log::default(), Shutdown::new());
    let worker = Worker::new(db.another_pool(), Arc::clone(&log))
        .queue("default", 1)
        .queue("forbidden", 1)
        .middleware(outer)
        .middleware(inner)
        .handle(|job: Do, cx: Context<Log>| async move { act(job.0, &cx).await })
        .handle(|job: DoBriefly, cx: Context<Log>| async move { act(job.0, &cx).await })
        .handle_blocking(|job: DoBlocking, cx: Context<Log>| {
            tokio::runtime::Handle::current().block_on(act(job.0, &cx))
        })
        .handle_many(2, Duration::ZERO, |jobs: Vec<(DoMany, Context<Log>)>| async move {
            let mut results = Vec::new();
            for (job, cx) in jobs {
                results.push(act(job.0, &cx).await);
            }
            results
        });
    let stop = shutdown.clone();
    let running = tokio::spawn(async move {
        worker.run(stop).await.unwrap();
    });
    (log, shutdown, running)
}

async fn stop(shutdown: Shutdown, running: tokio::task::JoinHandle<()>) {
    shutdown.begin();
    within("the worker stops", PATIENCE, running).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_run_around_every_form_of_handler_and_the_first_is_the_outermost() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (log, shutdown, running) = start(&db);
    let text = || "it".to_owned();
    let mut expected = Vec::new();
    for (id, kind) in [
        (enqueue(&client, &Do(text())).await.unwrap().id, "do"),
        (enqueue(&client, &DoBlocking(text())).await.unwrap().id, "do_blocking"),
        (enqueue(&client, &DoMany(text())).await.unwrap().id, "do_many"),
    ] {
        let done = job_becomes(&client, id, State::Completed).await;
        assert_eq!(done.output_as::<String>().unwrap().as_deref(), Some("it done"));
        expected.push(format!("tenant of {kind}"));
    }
    let tenants: Vec<_> = log.lock().iter().filter(|line| line.starts_with("tenant")).cloned().collect();
    let (mut tenants, mut expected) = (tenants, expected);
    tenants.sort();
    expected.sort();
    assert_eq!(tenants, expected);
    assert_eq!(log.lock().iter().filter(|line| *line == "outer: ok").count(), 3);
    stop(shutdown, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_may_refuse_translate_and_see_errors() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (log, shutdown, running) = start(&db);
    for (text, queue, error, lines) in [
        ("fails", "default", "no luck", &["outer begins", "tenant of do", "outer: failed"][..]),
        ("is translated", "default", "translated", &["outer begins", "tenant of do", "outer: failed"]),
        ("anything", "forbidden", "not allowed", &["outer begins", "outer: failed"]),
    ] {
        let id = enqueue(&client, &Do(text.to_owned())).queue(queue).await.unwrap().id;
        let discarded = job_becomes(&client, id, State::Discarded).await;
        assert_eq!(discarded.error.as_deref(), Some(error), "{text}");
        assert_eq!(std::mem::take(&mut *log.lock()), lines, "{text}");
    }
    stop(shutdown, running).await;
}

/// A layer is a part of the attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_a_timeout_and_a_cancel_end_the_layers_with_their_handler() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (log, shutdown, running) = start(&db);
    let id = enqueue(&client, &Do("panics".to_owned())).max_attempts(1).await.unwrap().id;
    let panicked = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(panicked.error.as_deref(), Some("panicked: on purpose"));

    log.lock().clear();
    let id = enqueue(&client, &Do("hangs".to_owned())).await.unwrap().id;
    until("the handler runs", PATIENCE, || async {
        log.lock().iter().any(|line| line == "tenant of do").then_some(())
    })
    .await;
    admin::cancel(&client, id).await.unwrap();
    job_becomes(&client, id, State::Cancelled).await;

    let id = enqueue(&client, &DoBriefly("hangs".to_owned())).max_attempts(1).await.unwrap().id;
    let timed_out = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(timed_out.error.as_deref(), Some("timed out"));
    assert!(!log.lock().iter().any(|line| line.starts_with("outer: ")), "{:?}", log.lock());

    // Nothing of an attempt is left for the next one.
    let id = enqueue(&client, &Do("it".to_owned())).await.unwrap().id;
    job_becomes(&client, id, State::Completed).await;
    assert_eq!(job(&client, id).await.attempt, 1);
    stop(shutdown, running).await;
}
