//! Handlers of several jobs at once.

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::rows::{job, job_becomes, number_becomes};
use crate::support::wait::{PATIENCE, within};
use crate::support::worker::{Task, task, tasks};
use postrider::worker::{Summary, Worker};
use postrider::{Context, Database, Error, JobError, Shutdown, State, admin, enqueue, enqueue_many};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const NEVER: Duration = Duration::from_mins(1);

type Jobs = Vec<(Task, Context<()>)>;

struct Running {
    shutdown: Shutdown,
    worker: JoinHandle<Result<Summary, Error>>,
    /// The names of the jobs of each batch, at its start.
    batches: mpsc::UnboundedReceiver<Vec<String>>,
}

impl Running {
    fn start<Fut>(
        database: Database,
        (max, wait): (usize, Duration),
        handler: impl Fn(Jobs) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Vec<Result<String, JobError>>> + Send + 'static,
    {
        let (sender, batches) = mpsc::unbounded_channel();
        let shutdown = Shutdown::new();
        let worker = Worker::new(database, ())
            .queue("default", 50)
            .retry_policy(|_| Duration::ZERO)
            .shutdown_timeout(Duration::ZERO)
            .handle_many(max, wait, move |jobs: Jobs| {
                let mut names: Vec<String> = jobs.iter().map(|(task, _)| task.name.clone()).collect();
                names.sort();
                let _ = sender.send(names);
                handler(jobs)
            });
        let worker = tokio::spawn(worker.run(shutdown.clone()));
        Self { shutdown, worker, batches }
    }

    async fn next(&mut self) -> Vec<String> {
        within("a batch starts", PATIENCE, self.batches.recv()).await.unwrap()
    }

    async fn stop(self) -> Summary {
        self.shutdown.begin();
        within("the worker stops", PATIENCE, self.worker).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_starts_when_it_is_full_or_has_waited_and_each_job_has_its_own_outcome() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut running = Running::start(db.another_pool(), (5, Duration::from_millis(100)), |jobs| async move {
        let outcome = |(task, cx): (Task, Context<()>)| match (task.name.as_str(), cx.attempt()) {
            ("1", _) => Err(JobError::discard("not this one")),
            ("2", 1) => Err(JobError::retry("later")),
            _ => Ok(task.name),
        };
        jobs.into_iter().map(outcome).collect()
    });
    let ids = ids_of(enqueue_many(&client, &tasks(5)).await.unwrap());
    assert_eq!(running.next().await, ["0", "1", "2", "3", "4"]);
    // The retried one waits alone.
    assert_eq!(running.next().await, ["2"]);
    for (number, id) in ids.into_iter().enumerate() {
        if number == 1 {
            assert_eq!(job_becomes(&client, id, State::Discarded).await.error.as_deref(), Some("not this one"));
            continue;
        }
        let done = job_becomes(&client, id, State::Completed).await;
        assert_eq!(done.output_as::<String>().unwrap(), Some(number.to_string()));
        assert_eq!(done.attempt, if number == 2 { 2 } else { 1 });
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_a_wrong_number_of_results_fails_every_job_of_the_batch() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut running = Running::start(db.another_pool(), (2, NEVER), |jobs| async move {
        assert!(jobs[0].0.name != "panics", "at the disco");
        vec![Ok("one".to_owned())]
    });
    for (name, error) in [("panics", "panicked: at the disco"), ("counts", "1 outcomes for a batch of 2 jobs")] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.push(enqueue(&client, &task(name)).max_attempts(1).await.unwrap().id);
        }
        assert_eq!(running.next().await.len(), 2);
        for id in ids {
            let record = job_becomes(&client, id, State::Discarded).await;
            assert!(record.error.clone().unwrap().contains(error), "{record:?}");
            let trace = record.attempt_errors()[0].trace.clone();
            assert_eq!(trace.is_some_and(|trace| trace.contains("batches.rs")), name == "panics");
        }
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_leaves_its_batch_and_the_others_go_on() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let passing = Arc::clone(&gate);
    let mut running = Running::start(db.another_pool(), (3, NEVER), move |jobs| {
        let passing = Arc::clone(&passing);
        async move {
            let _ = passing.acquire().await;
            jobs.into_iter().map(|(task, _)| Ok(task.name)).collect()
        }
    });
    // It is cancelled while it waits for its batch, so the handler never sees it.
    let waiting = enqueue(&client, &task("waiting")).await.unwrap().id;
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running", 1).await;
    admin::cancel(&client, waiting).await.unwrap();
    job_becomes(&client, waiting, State::Cancelled).await;
    let (first, second) =
        (enqueue(&client, &task("first")).await.unwrap().id, enqueue(&client, &task("second")).await.unwrap().id);
    assert_eq!(running.next().await, ["first", "second"]);
    // This one while the handler runs.
    admin::cancel(&client, first).await.unwrap();
    job_becomes(&client, first, State::Cancelled).await;
    gate.add_permits(10);
    let done = job_becomes(&client, second, State::Completed).await;
    assert_eq!(done.output_as::<String>().unwrap().as_deref(), Some("second"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_dropped_once_all_its_jobs_are_cut_off() {
    struct Told(mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let mut running = Running::start(db.another_pool(), (2, NEVER), move |_| {
        let told = Told(sender.clone());
        async move {
            std::future::pending::<()>().await;
            drop(told);
            Vec::new()
        }
    });
    let ids = ids_of(enqueue_many(&client, &tasks(2)).await.unwrap());
    running.next().await;
    assert_eq!(running.stop().await.abandoned, 2);
    within("the handler is dropped", PATIENCE, dropped.recv()).await.unwrap();
    for id in ids {
        assert_eq!(job(&client, id).await.attempt, 0);
    }
}
