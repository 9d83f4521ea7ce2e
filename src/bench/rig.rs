//! The tools of every scenario: the scratch database, worker processes, the plan.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::arriving::Latencies;
use super::error::BenchError;
use super::figure::Figure;
use super::measured_worker::WorkerSetup;
use super::observer::Observer;
use super::plan::{Plan, Scenario};
use super::scratch::Scratch;
use super::store;
use super::worker_process::WorkerProcess;
use crate::error::Error;
use crate::postgres::Database;
use crate::worker::DEFAULT_CONCURRENCY;

/// The poll interval of waits.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The time limit for a worker process to become ready or to end.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a ready worker needs until it is idle and waits for notifications.
const SETTLE: Duration = Duration::from_millis(300);

pub(super) struct Rig<'r> {
    pub plan: &'r Plan,
    /// A connection to the scratch database, for observation.
    pub client: Client,
    pub scenario: Scenario,
    pub figures: Vec<Figure>,
    /// The share of all cores' time that was busy during each drain.
    pub busy: Vec<f64>,
    scratch: &'r Scratch,
    observer: &'r mut dyn Observer,
}

impl<'r> Rig<'r> {
    pub async fn new(plan: &'r Plan, scratch: &'r Scratch, observer: &'r mut dyn Observer) -> Result<Self, BenchError> {
        let client = connect(&scratch.database).await?;
        store::jobs::set_observer_session(&client).await?;
        let scenario = plan.scenarios.first().copied().unwrap_or(Scenario::Single);
        Ok(Self { plan, client, scenario, figures: Vec::new(), busy: Vec::new(), scratch, observer })
    }

    /// Returns a connection to another database, which the statistics of the scratch database do not count, and the
    /// scratch database's name.
    pub fn outside(&self) -> (&Client, &str) {
        (&self.scratch.admin, self.scratch.name())
    }

    pub fn observer(&mut self) -> &mut dyn Observer {
        self.observer
    }

    /// Opens a new connection to the scratch database.
    pub async fn connect(&self) -> Result<Client, Error> {
        connect(&self.scratch.database).await
    }

    /// The scratch database, with a pool of the caller's own.
    pub fn own_database(&self) -> Database {
        self.scratch.database.beside(self.scratch.name())
    }

    /// Reports the progress of the scenario.
    pub fn advance(&mut self, done: u64, of: u64) {
        let scenario = self.scenario;
        self.observer.advances(scenario, done, of);
    }

    /// Reports and keeps a figure.
    pub fn found(&mut self, figure: Figure) {
        self.observer.finds(&figure);
        self.figures.push(figure);
    }

    /// Returns the name of a figure of this scenario.
    pub fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.scenario.name())
    }

    /// Returns the default setup of a worker process.
    pub fn setup(&self) -> WorkerSetup {
        WorkerSetup {
            database: self.scratch.name().to_owned(),
            slots: DEFAULT_CONCURRENCY,
            work: None,
            keep_completed: true,
            reports: false,
        }
    }

    /// Starts `count` worker processes and waits until all receive notifications.
    pub async fn start(&self, setup: &WorkerSetup, count: usize) -> Result<Vec<WorkerProcess>, BenchError> {
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(WorkerProcess::start(setup, |_, _| {})?);
        }
        self.ready(&mut workers).await?;
        Ok(workers)
    }

    /// As [`Self::start`], with processes that report the start of each job.
    pub async fn start_reporting(
        &self,
        setup: &WorkerSetup,
        count: usize,
        latencies: &Arc<Latencies>,
    ) -> Result<Vec<WorkerProcess>, BenchError> {
        let setup = WorkerSetup { reports: true, ..setup.clone() };
        let mut workers = Vec::new();
        for _ in 0..count {
            let latencies = Arc::clone(latencies);
            workers.push(WorkerProcess::start(&setup, move |id, at| latencies.started(id, at))?);
        }
        self.ready(&mut workers).await?;
        Ok(workers)
    }

    async fn ready(&self, workers: &mut [WorkerProcess]) -> Result<(), BenchError> {
        let pids: Vec<i32> = workers.iter().filter_map(|worker| i32::try_from(worker.pid()).ok()).collect();
        let deadline = Deadline::new("a worker process that is ready", READY_WITHIN);
        while store::jobs::workers_listening(&self.client, &pids).await? < i64::try_from(pids.len()).unwrap_or(i64::MAX)
        {
            workers.iter_mut().try_for_each(WorkerProcess::check)?;
            deadline.wait().await?;
        }
        sleep(SETTLE).await;
        Ok(())
    }

    /// Stops the worker processes and waits until their sessions have ended: only then do the server's statistics
    /// include all their work.
    pub async fn stop(&self, workers: Vec<WorkerProcess>, sessions_before: i64) -> Result<(), BenchError> {
        for worker in workers {
            worker.stop().await?;
        }
        self.until_sessions_end(sessions_before).await
    }

    /// Kills the worker processes, whatever they run, and waits until their sessions have ended.
    pub async fn kill(&self, workers: Vec<WorkerProcess>, sessions_before: i64) -> Result<(), BenchError> {
        for mut worker in workers {
            worker.check()?;
            worker.kill().await?;
        }
        self.until_sessions_end(sessions_before).await
    }

    async fn until_sessions_end(&self, before: i64) -> Result<(), BenchError> {
        let deadline = Deadline::new("the end of a worker's sessions", READY_WITHIN);
        while self.sessions().await? > before {
            deadline.wait().await?;
        }
        Ok(())
    }

    pub async fn sessions(&self) -> Result<i64, Error> {
        store::server::sessions(&self.client).await
    }

    /// Waits until no job is left. The time limit depends on the number of jobs.
    pub async fn drained(&self, jobs: u64, workers: &mut [WorkerProcess]) -> Result<(), BenchError> {
        let deadline = Deadline::new("the end of all jobs", Duration::from_mins(1) + Duration::from_millis(2 * jobs));
        loop {
            let began = Instant::now();
            if store::jobs::is_drained(&self.client).await? {
                return Ok(());
            }
            workers.iter_mut().try_for_each(WorkerProcess::check)?;
            // A check reads the dead rows of the workers. It must not compete with them.
            sleep(20 * began.elapsed()).await;
            deadline.wait().await?;
        }
    }

    /// Checks that all `enqueued` jobs were finished, each exactly once. Returns their summary from the history.
    pub async fn finished(&self, enqueued: u64) -> Result<store::jobs::Finished, BenchError> {
        let found = store::jobs::finished(&self.client).await?;
        let all = |count: i64| u64::try_from(count) == Ok(enqueued);
        if all(found.ends) && all(found.distinct_ids) && all(found.completed) {
            return Ok(found);
        }
        Err(BenchError::NotOnce {
            scenario: self.scenario,
            enqueued,
            finished: found.ends,
            distinct: found.distinct_ids,
            completed: found.completed,
        })
    }

    /// Truncates the tables of jobs.
    pub async fn clear(&self) -> Result<(), Error> {
        store::jobs::clear_jobs(&self.client).await
    }
}

async fn connect(database: &Database) -> Result<Client, Error> {
    let (client, connection) = database.connect("bench").await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The time limit of a wait.
pub(super) struct Deadline {
    what: &'static str,
    limit: Duration,
    at: Instant,
}

impl Deadline {
    pub fn new(what: &'static str, limit: Duration) -> Self {
        Self { what, limit, at: Instant::now() + limit }
    }

    /// Sleeps until the next poll. Fails if the time limit has passed.
    pub async fn wait(&self) -> Result<(), BenchError> {
        if Instant::now() >= self.at {
            return Err(BenchError::Stalled { what: self.what, seconds: self.limit.as_secs() });
        }
        sleep(POLL_INTERVAL).await;
        Ok(())
    }
}
