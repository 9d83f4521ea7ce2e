//! Races: several workers with jobs of all outcomes, started, stopped and killed at random, and
//! their connections cut (CONFORMANCE 9, 24, 25, 27, 36).
//!
//! The seed is printed, and taken from `STRESS_SEED` where that is set: what the scheduler does
//! is not repeated by it, but what the test does is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{number, number_becomes};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, Task, TestWorker, task};
use chrono::{DateTime, Utc};
use postrider::{Context, JobError, JobId, NewJob, admin, enqueue_many};
use uuid::Uuid;

const JOBS: usize = 3_000;
const STEPS: usize = 30;
const WORKERS: usize = 3;

/// How an attempt ended, as its handler saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Still running.
    None,
    Ok,
    Failed,
    Snoozed,
    Cancelled,
    /// Its future was dropped, or asked to stop.
    Dropped,
}

/// One start of a handler.
#[derive(Clone, Debug)]
struct Entry {
    attempt: u32,
    worker: Uuid,
    end: End,
    /// Another attempt of the job ran when this one started.
    overlaps: bool,
}

/// What handlers did, by job, in the order in which they did it.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<HashMap<JobId, Vec<Entry>>>>);

/// Writes the end of an attempt, also when its future is dropped.
struct Running {
    ledger: Ledger,
    job: JobId,
    place: usize,
    end: End,
}

impl Ledger {
    fn start(&self, cx: &Context<Starts>) -> Running {
        let mut ledger = self.0.lock().unwrap();
        let entries = ledger.entry(cx.job_id()).or_default();
        let overlaps = entries.iter().any(|entry| entry.end == End::None);
        entries.push(Entry { attempt: cx.attempt(), worker: cx.worker_id(), end: End::None, overlaps });
        Running { ledger: self.clone(), job: cx.job_id(), place: entries.len() - 1, end: End::Dropped }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let end = if std::thread::panicking() { End::Failed } else { self.end };
        self.ledger.0.lock().unwrap().get_mut(&self.job).unwrap()[self.place].end = end;
    }
}

/// Misbehaves as its name says when it runs for the first time, and is good afterwards.
async fn play(ledger: Ledger, task: Task, cx: Context<Starts>) -> Result<(), JobError> {
    let mut running = ledger.start(&cx);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    let first = running.place == 0;
    let (end, result) = match task.name.as_str() {
        // A failure of a handler that was asked to stop is not held against its job.
        "fail" | "hopeless" if cx.is_cancelled() => (End::Dropped, Err(JobError::retry("told to stop"))),
        "fail" if first => (End::Failed, Err(JobError::retry("failed"))),
        "hopeless" => (End::Failed, Err(JobError::retry("hopeless"))),
        "snooze" if first => (End::Snoozed, Err(JobError::snooze(Duration::from_millis(30)))),
        "cancel" => (End::Cancelled, Err(JobError::cancel("not wanted"))),
        "panic" if first => panic!("first run"),
        "time out" if first => {
            cx.cancelled().await;
            (End::Dropped, Err(JobError::retry("told to stop")))
        }
        _ => (End::Ok, Ok(())),
    };
    running.end = end;
    result
}

const NAMES: [&str; 9] = ["ok", "ok", "ok", "fail", "hopeless", "snooze", "cancel", "panic", "time out"];

fn batch(random: &mut fastrand::Rng) -> Vec<NewJob> {
    (0..JOBS / STEPS)
        .map(|_| {
            let name = NAMES[random.usize(..NAMES.len())];
            let job = NewJob::of(&task(name)).unwrap();
            // The hopeless have two attempts, the others more than they may lose.
            if name == "hopeless" { job.max_attempts(2).unwrap() } else { job }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_to_workers_and_connections_every_job_finishes_once_and_never_runs_twice_at_once() {
    let seed =
        std::env::var("STRESS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("STRESS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let ledger = Ledger::default();
    let start = || {
        let ledger = ledger.clone();
        TestWorker::start(
            &db.another_pool(),
            |w| {
                w.queue("default", 20)
                    .timeout(Duration::from_millis(500))
                    .lease(Duration::from_secs(5))
                    .shutdown_timeout(Duration::from_millis(50))
                    .poll_interval(Duration::from_millis(200))
                    .retry_policy(|attempt| Duration::from_millis(u64::from(attempt % 2) * 10))
            },
            move |task, cx| play(ledger.clone(), task, cx),
        )
    };
    let mut workers: Vec<TestWorker> = (0..WORKERS).map(|_| start()).collect();
    let mut stopping = tokio::task::JoinSet::new();
    for step in 0..STEPS {
        enqueue_many(&client, &batch(&mut random)).await.unwrap();
        let chosen = random.usize(..workers.len());
        match random.u8(..10) {
            // Killed. Rarely, since a job that is lost twice waits for long.
            0 => workers.remove(chosen).kill().await,
            1..=2 => drop(stopping.spawn(end(workers.remove(chosen)))),
            // Any backends, of any worker and purpose.
            3..=6 => {
                let share = f64::from(random.u8(1..=10)) / 10.0;
                let killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                              WHERE datname = current_database() AND pid <> pg_backend_pid()
                                AND application_name LIKE 'postrider %' AND random() < $1";
                client.query_one(killed, &[&share]).await.unwrap();
            }
            _ => {}
        }
        // A fault of the database at its start, and only then, ends a worker by itself.
        for ended in workers.extract_if(.., |worker| worker.has_ended()) {
            stopping.spawn(end(ended));
        }
        while workers.len() < WORKERS {
            workers.push(start());
        }
        // On to the next step with work still under way.
        until(&format!("step {step} is mostly done"), 2 * PATIENCE, || async {
            (number(&client, "SELECT count(*) FROM postrider.job").await < 150).then_some(())
        })
        .await;
    }
    until("all have finished", 2 * PATIENCE, || async {
        // Jobs that were lost twice wait as long as crash_count demands. An operator helps.
        let waiting = "SELECT id FROM postrider.job WHERE NOT running AND run_at > now() + interval '1 s'";
        for row in client.query(waiting, &[]).await.unwrap() {
            let _ = admin::retry(&client, row.get(0)).await;
        }
        (number(&client, "SELECT count(*) FROM postrider.job").await == 0).then_some(())
    })
    .await;
    for worker in workers {
        stopping.spawn(end(worker));
    }
    while let Some(stopped) = stopping.join_next().await {
        stopped.unwrap();
    }
    // One that stopped soon after a claim without an answer leaves its lease to the others.
    let before: DateTime<Utc> = client.query_one("SELECT now()", &[]).await.unwrap().get(0);
    let last = start();
    until("leases that were left are ended", PATIENCE, || async {
        let left = "SELECT FROM postrider.worker WHERE started_at < $1";
        client.query(left, &[&before]).await.unwrap().is_empty().then_some(())
    })
    .await;
    last.stop().await;
    number_becomes(&client, "SELECT count(*) FROM postrider.worker", 0).await;
    check(&client, &ledger).await;
}

/// Shuts a worker down that may have failed to start.
async fn end(worker: TestWorker) {
    worker.shutdown.begin();
    if let Err(error) = worker.result().await {
        assert!(error.is_transient(), "{error}");
    }
}

async fn check(client: &tokio_postgres::Client, ledger: &Ledger) {
    let jobs = "SELECT id, args ->> 'name', state::text, attempt::integer FROM postrider.job_history ORDER BY id";
    let rows = client.query(jobs, &[]).await.unwrap();
    assert_eq!(rows.len(), JOBS, "each job is in the history once");
    let entries_of = ledger.0.lock().unwrap();
    let (mut starts, mut lost) = (0, 0);
    for row in &rows {
        let (id, name, state): (JobId, &str, &str) = (row.get(0), row.get(1), row.get(2));
        let attempts = row.get::<_, i32>(3).unsigned_abs();
        let entries = entries_of.get(&id).map_or(&[][..], Vec::as_slice);
        let told = || format!("job {id} ({name}), {state} after {attempts} attempts: {entries:#?}");
        let wanted = match name {
            "hopeless" => "discarded",
            "cancel" => "cancelled",
            _ => "completed",
        };
        assert_eq!(state, wanted, "{}", told());
        assert!(entries.iter().all(|entry| !entry.overlaps && entry.end != End::None), "{}", told());
        // It ran well at least once, and of what was recorded nothing ran again: a good run is
        // followed by another only where its worker died before it had recorded it.
        for pair in entries.windows(2) {
            let [before, after] = pair else { unreachable!("windows of two") };
            assert!(after.attempt >= before.attempt, "{}", told());
            let handed_back = matches!(before.end, End::Snoozed | End::Dropped);
            assert!(handed_back || after.attempt > before.attempt, "{}", told());
            if matches!(before.end, End::Ok | End::Cancelled) {
                assert_ne!(before.worker, after.worker, "{}", told());
                lost += 1;
            }
        }
        match entries.last() {
            Some(final_run) => {
                assert!(final_run.attempt <= attempts, "{}", told());
                let ended = match state {
                    "completed" => End::Ok,
                    "cancelled" => End::Cancelled,
                    _ => final_run.end,
                };
                assert_eq!(final_run.end, ended, "{}", told());
            }
            // Its attempts may be used up without a start when workers die.
            None => assert_eq!(state, "discarded", "{}", told()),
        }
        starts += entries.len();
    }
    println!("{starts} starts for {JOBS} jobs, {lost} outcomes lost with their workers");
}
