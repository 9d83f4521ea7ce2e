//! Handlers that block their thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::rows::{job_becomes, number_becomes};
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{Task, task, tasks};
use postrider::worker::{Summary, Worker};
use postrider::{Context, Database, Error, JobError, Shutdown, State, admin, enqueue, enqueue_many};
use tokio::task::JoinHandle;

/// A gate that blocks threads until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

struct Running {
    shutdown: Shutdown,
    worker: JoinHandle<Result<Summary, Error>>,
}

impl Running {
    fn start<T: serde::Serialize + Send + 'static>(
        database: Database,
        set: impl FnOnce(Worker<()>) -> Worker<()>,
        handler: impl Fn(Task, Context<()>) -> Result<T, JobError> + Send + Sync + 'static,
    ) -> Self {
        let worker = Worker::new(database, ()).queue("default", 20).retry_policy(|_| Duration::ZERO);
        let shutdown = Shutdown::new();
        let worker = tokio::spawn(set(worker).handle_blocking(handler).run(shutdown.clone()));
        Self { shutdown, worker }
    }

    async fn stop(self) -> Summary {
        self.shutdown.begin();
        within("the worker stops", PATIENCE, self.worker).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn blocked_threads_are_as_many_as_configured_and_hold_up_nothing_else() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (gate, blocked) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (passing, counted) = (gate.clone(), Arc::clone(&blocked));
    let running = Running::start(
        db.another_pool(),
        |w| w.blocking_threads(3),
        move |task, _| {
            counted.fetch_add(1, Ordering::AcqRel);
            passing.pass();
            Ok(task.name)
        },
    );
    let ids = ids_of(enqueue_many(&client, &tasks(10)).await.unwrap());
    // All have slots. The runtime of this test has one thread: if they blocked it, nothing would go on.
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 10).await;
    until("three threads are blocked", PATIENCE, async || (blocked.load(Ordering::Acquire) == 3).then_some(())).await;
    gate.open();
    for (number, id) in ids.into_iter().enumerate() {
        let done = job_becomes(&client, id, State::Completed).await;
        assert_eq!(done.output_as::<String>().unwrap(), Some(number.to_string()));
    }
    running.stop().await;
}

#[tokio::test]
async fn errors_panics_and_futures_of_a_blocking_handler_are_those_of_any_handler() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let running = Running::start(
        db.another_pool(),
        |w| w,
        |task, cx| match task.name.as_str() {
            "fails" => Err(JobError::retry("no luck")),
            "panics" => panic!("at the disco"),
            _ => tokio::runtime::Handle::current().block_on(async {
                let mut client = cx.database().client().await?;
                let tx = client.transaction().await?;
                cx.complete_in(&tx).output(&"in a transaction").await?;
                tx.commit().await?;
                Ok(())
            }),
        },
    );
    for (name, error) in [("fails", "no luck"), ("panics", "panicked: at the disco")] {
        let id = enqueue(&client, &task(name)).max_attempts(1).await.unwrap().id;
        let record = job_becomes(&client, id, State::Discarded).await;
        assert_eq!(record.error.as_deref(), Some(error));
        let trace = record.attempt_errors()[0].trace.clone();
        assert_eq!(trace.is_some_and(|trace| trace.contains("blocking.rs")), name == "panics");
    }
    let id = enqueue(&client, &task("awaits")).await.unwrap().id;
    let done = job_becomes(&client, id, State::Completed).await;
    assert_eq!(done.output_as::<String>().unwrap().as_deref(), Some("in a transaction"));
    running.stop().await;
}

#[tokio::test]
async fn a_cancel_and_a_shutdown_are_seen_by_a_function_that_checks() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let running = Running::start(
        db.another_pool(),
        |w| w.shutdown_timeout(Duration::ZERO),
        |_, cx| {
            while !cx.is_cancelled() {
                std::thread::yield_now();
            }
            Err::<(), _>(JobError::retry("stopped"))
        },
    );
    let (cancelled, cut_off) =
        (enqueue(&client, &task("cancelled")).await.unwrap().id, enqueue(&client, &task("cut off")).await.unwrap().id);
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 2).await;
    admin::cancel(&client, cancelled).await.unwrap();
    job_becomes(&client, cancelled, State::Cancelled).await;
    running.stop().await;
    let released = job_becomes(&client, cut_off, State::Available).await;
    assert_eq!((released.attempt, released.error), (0, None));
}

#[tokio::test]
async fn a_function_that_ignores_its_timeout_keeps_its_thread_and_nothing_else() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (gate, ran) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (passing, told) = (gate.clone(), Arc::clone(&ran));
    let running = Running::start(
        db.another_pool(),
        |w| w.blocking_threads(1).timeout(Duration::from_millis(50)),
        move |task, _| {
            if task.name == "blocks" {
                passing.pass();
            } else {
                told.store(true, Ordering::Release);
            }
            Ok(())
        },
    );
    let blocked = enqueue(&client, &task("blocks")).max_attempts(1).await.unwrap().id;
    assert_eq!(job_becomes(&client, blocked, State::Discarded).await.error.as_deref(), Some("timed out"));
    // Its slot is free, its thread is not: the next one waits for the thread until its own timeout.
    let next = enqueue(&client, &task("next")).max_attempts(1).await.unwrap().id;
    assert_eq!(job_becomes(&client, next, State::Discarded).await.error.as_deref(), Some("timed out"));
    assert!(!ran.load(Ordering::Acquire));
    gate.open();
    let last = enqueue(&client, &task("last")).max_attempts(100).await.unwrap().id;
    job_becomes(&client, last, State::Completed).await;
    running.stop().await;
}
