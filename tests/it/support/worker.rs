//! A worker inside the test's own process.

use std::sync::Arc;

use postrider::worker::{Metrics, Summary};
use postrider::{Context, Database, Job, JobError, NewJob, Shutdown, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::wait::{PATIENCE, within};

/// A job that does what its test says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub name: String,
}

impl Job for Task {
    const KIND: &'static str = "task";
}

/// A `Task` of this name.
pub fn task(name: impl Into<String>) -> Task {
    Task { name: name.into() }
}

/// This many tasks, named by their number.
pub fn tasks(count: usize) -> Vec<NewJob> {
    (0..count).map(|number| NewJob::of(&task(number.to_string())).expect("a good job")).collect()
}

/// One start of a handler.
#[derive(Clone, Debug)]
pub struct Started {
    pub name: String,
    pub job_id: i64,
    pub attempt: u32,
    pub at: std::time::Instant,
}

/// Where handlers report their starts.
pub type Starts = mpsc::UnboundedSender<Started>;

/// What workers log is shown where a test fails; `RUST_LOG` says how much. Outcomes are left out
/// by default: a test makes many fail on purpose.
fn tell() {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,postrider::worker::finish=off".to_owned());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// A running worker.
pub struct TestWorker {
    pub shutdown: Shutdown,
    pub metrics: Arc<Metrics>,
    pub starts: mpsc::UnboundedReceiver<Started>,
    running: JoinHandle<Result<Summary, postrider::Error>>,
}

impl TestWorker {
    /// Runs `Task`s with `handler` after their start was reported; `set` sets the worker up.
    pub fn start<F, Fut>(database: &Database, set: impl FnOnce(Worker<Starts>) -> Worker<Starts>, handler: F) -> Self
    where
        F: Fn(Task, Context<Starts>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        tell();
        let (reports, starts) = mpsc::unbounded_channel();
        let worker = Worker::new(database.clone(), reports).handle(move |task: Task, cx: Context<Starts>| {
            let started = Started {
                name: task.name.clone(),
                job_id: cx.job_id(),
                attempt: cx.attempt(),
                at: std::time::Instant::now(),
            };
            let _ = cx.state().send(started);
            handler(task, cx)
        });
        let worker = set(worker);
        let metrics = worker.metrics();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(worker.run(shutdown.clone()));
        Self { shutdown, metrics, starts, running }
    }

    /// The next start of a handler.
    pub async fn next_start(&mut self) -> Started {
        within("a handler starts", PATIENCE, self.starts.recv()).await.expect("the worker runs")
    }

    /// Shuts down gracefully.
    pub async fn stop(self) -> Summary {
        self.shutdown.begin();
        within("the worker stops", 2 * PATIENCE, self.running).await.expect("no panic").expect("no error")
    }

    /// Shuts down gracefully. Returns what was counted: an outcome counts when its answer has come, a moment after others
    /// can see it in the database.
    pub async fn stop_for_metrics(self) -> Arc<Metrics> {
        let metrics = Arc::clone(&self.metrics);
        self.stop().await;
        metrics
    }

    /// Ends like a killed process, as far as a task can: nothing more is written.
    pub fn abort(self) {
        self.running.abort();
    }

    /// As [`Self::abort`], and waits until it has ended.
    pub async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    /// Whether `run` has returned.
    pub fn has_ended(&self) -> bool {
        self.running.is_finished()
    }

    /// What `run` returned, for a worker that is expected to fail.
    pub async fn result(self) -> Result<Summary, postrider::Error> {
        within("the worker returns", 2 * PATIENCE, self.running).await.expect("no panic")
    }
}
