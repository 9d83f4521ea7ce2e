//! Hooks that a service has set for panics, beside the worker's own.

use std::panic::{set_hook, take_hook};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs;
use crate::support::process::Process;
use crate::support::rows::job_becomes;
use crate::support::wait::PATIENCE;
use crate::support::worker::{TestWorker, task};
use postrider::{Args, NewJob, State, enqueue};
use serde_json::json;

/// As those of Sentry and color-eyre: set before the worker starts, they pass the panic on to the hook before them.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_hook_of_the_service_is_called_for_attempts_and_for_other_code() {
    let heard = Arc::new(AtomicUsize::new(0));
    let (before, counted) = (take_hook(), Arc::clone(&heard));
    set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.database, |w| w.queue("default", 1), |_, _| async { panic!("in the handler") });
    let id = enqueue(&client, &task("panics")).max_attempts(1).await.unwrap().id;
    let record = job_becomes(&client, id, State::Discarded).await;
    assert_eq!(heard.load(Ordering::SeqCst), 1);
    assert!(record.attempt_errors()[0].trace.as_deref().is_some_and(|trace| trace.contains("panic_hooks.rs")));
    assert!(std::thread::spawn(|| panic!("elsewhere")).join().is_err());
    assert_eq!(heard.load(Ordering::SeqCst), 2);
    worker.stop().await;
}

#[tokio::test]
async fn the_panic_of_an_attempt_is_one_line_of_the_log() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = Process::spawn(&mut command::worker(&db.url, ["run"]));
    worker.wait_for_event("worker ready", PATIENCE).await;
    let panics = NewJob::new("probe", Args::of(&json!({"panic": "no luck"})).unwrap()).unwrap();
    postrider::enqueue::enqueue_job(&client, panics.max_attempts(1).unwrap()).await.unwrap();
    worker.wait_for_event("job panicked", PATIENCE).await;
    worker.signal(crate::support::process::Signal::Terminate);
    worker.wait_for_exit(Duration::from_mins(1)).await;
    assert_eq!(jobs::count(&client, "SELECT count(*) FROM postrider.job_history WHERE state = 'discarded'").await, 1);
    let lines = worker.log();
    assert_eq!(lines.matches("panicked: no luck").count(), 2, "as failed, and as discarded: {lines}");
    assert_eq!(lines.matches("panicked at ").count(), 1, "its place: {lines}");
}
