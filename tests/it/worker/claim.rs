//! Claiming: order, limits, records, polling (CONFORMANCE 8 to 12, 19, 29).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::rows::{job, job_becomes, number, number_becomes, running, workers_listen};
use crate::support::timing::takes_less_than;
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, Task, TestWorker, task, tasks};
use chrono::{TimeDelta, Utc};
use postrider::{Args, Context, Job, JobError, NewJob, Priority, State, admin, enqueue, enqueue_copy, enqueue_many};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

const NEVER: Duration = Duration::from_hours(1);

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

/// The most that ran at once, by a name.
#[derive(Clone, Default)]
struct Gauge(Arc<Mutex<HashMap<String, (usize, usize)>>>);

impl Gauge {
    async fn during<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        {
            let mut gauge = self.0.lock().unwrap();
            let (now, most) = gauge.entry(name.to_owned()).or_default();
            *now += 1;
            *most = (*now).max(*most);
        }
        let result = work.await;
        self.0.lock().unwrap().get_mut(name).unwrap().0 -= 1;
        result
    }

    fn most(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).map_or(0, |(_, most)| *most)
    }
}

// CONFORMANCE 8
#[tokio::test(flavor = "multi_thread")]
async fn jobs_start_by_priority_then_due_time_then_id() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut wanted = Vec::new();
    let now = Utc::now();
    for number in 0..40_i64 {
        // A walk through all combinations, in no order.
        let priority = Priority::try_from(number * 7 % 4 + 1).unwrap();
        let run_at = now - TimeDelta::seconds(number * 11 % 5 + 10);
        let id = enqueue(&client, &task("ordered")).priority(priority).run_at(run_at).await.unwrap().id;
        wanted.push((priority.number(), run_at, id));
    }
    let later = enqueue(&client, &task("later")).priority(Priority::Urgent).run_in(NEVER).await.unwrap().id;
    wanted.sort_unstable();
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 1), ok);
    for (number, (.., id)) in wanted.iter().enumerate() {
        assert_eq!(worker.next_start().await.job_id, *id, "place {number}");
    }
    worker.stop().await;
    assert_eq!(job(&client, later).await.state, State::Scheduled);
}

// CONFORMANCE 8: the neighbour, order within one batch
#[tokio::test]
async fn the_jobs_of_one_claim_start_in_order_too() {
    // One thread, so that tasks run in the order in which they were started.
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let jobs: Vec<NewJob> = tasks(60)
        .into_iter()
        .enumerate()
        .map(|(number, job)| job.priority(Priority::try_from(4 - i64::try_from(number).unwrap() % 4).unwrap()))
        .collect();
    enqueue_many(&client, &jobs).await.unwrap();
    let query = "SELECT id FROM postrider.job ORDER BY priority, run_at, id";
    let wanted: Vec<i64> = client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 100), ok);
    for id in wanted {
        assert_eq!(worker.next_start().await.job_id, id);
    }
    worker.stop().await;
}

// CONFORMANCE 8, 11
#[tokio::test(flavor = "multi_thread")]
async fn never_more_run_than_a_queue_has_slots_and_other_queues_are_left_alone() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    for queue in ["three", "one", "unserved"] {
        let jobs: Vec<NewJob> = tasks(30).into_iter().map(|job| job.queue(queue).unwrap()).collect();
        enqueue_many(&client, &jobs).await.unwrap();
    }
    let gauge = Gauge::default();
    let measured = gauge.clone();
    let worker = TestWorker::start(
        &db.database,
        |w| w.queue("three", 3).queue("one", 1),
        move |_, cx| {
            let gauge = measured.clone();
            async move {
                // The database must agree.
                let query = "SELECT count(*) FROM postrider.job WHERE running AND queue = $1";
                let queue = cx.queue().to_owned();
                gauge
                    .during(&queue, async {
                        let client = cx.database().client().await?;
                        let running: i64 = client.query_one(query, &[&queue]).await?.get(0);
                        // A finished job may not be recorded yet while its successor runs.
                        assert!(running >= 1, "{queue}: {running}");
                        Ok(())
                    })
                    .await
            }
        },
    );
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'", 60).await;
    assert_eq!((gauge.most("three"), gauge.most("one")), (3, 1));
    worker.stop().await;
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job WHERE attempt = 0").await, 30);
}

// CONFORMANCE 10
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_records_attempt_time_and_worker() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let (ids, mut worker_ids) = tokio::sync::mpsc::unbounded_channel();
    let release = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&release);
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 1).retry_policy(|_| Duration::ZERO),
        move |_, cx| {
            ids.send(cx.worker_id()).unwrap();
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await?.forget();
                if cx.attempt() == 1 { Err(JobError::retry("once more")) } else { Ok(()) }
            }
        },
    );
    let id = enqueue(&client, &task("recorded")).await.unwrap().id;
    let mut before = None;
    for attempt in 1..=2 {
        assert_eq!(worker.next_start().await.attempt, attempt);
        let record = job(&client, id).await;
        assert_eq!((record.state, record.attempt.unsigned_abs()), (State::Running, attempt));
        assert_eq!(record.attempted_by, worker_ids.recv().await);
        assert!(record.attempted_at.unwrap() >= record.created_at && record.attempted_at > before);
        before = record.attempted_at;
        release.add_permits(1);
    }
    let record = job_becomes(&client, id, State::Completed).await;
    assert_eq!((record.attempt, record.attempted_at), (2, before));
    worker.stop().await;
}

// CONFORMANCE 10
#[tokio::test(flavor = "multi_thread")]
async fn what_grows_with_each_attempt_is_bounded() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 1).retry_policy(|_| Duration::ZERO),
        |_, cx| async move {
            let text = format!("attempt {} {}", cx.attempt(), "\0é".repeat(50_000));
            if cx.attempt() % 2 == 0 { panic!("{text}") } else { Err(JobError::retry(text)) }
        },
    );
    let id = enqueue(&client, &task("fails")).max_attempts(20).await.unwrap().id;
    let record = job_becomes(&client, id, State::Discarded).await;
    let errors = record.attempt_errors();
    let attempts: Vec<i32> = errors.iter().map(|error| error.attempt).collect();
    assert_eq!(attempts, [16, 17, 18, 19, 20]);
    assert!(errors.iter().all(|error| error.error.len() <= 1024 && !error.error.contains('\0')));
    assert!(errors[4].trace.as_ref().is_some_and(|trace| trace.len() <= 16 * 1024));
    assert!(errors[..4].iter().all(|error| error.trace.is_none()), "only the latest keeps its trace");
    assert_eq!(record.error.as_ref(), Some(&errors[4].error));
    worker.stop().await;
}

// CONFORMANCE 11
#[tokio::test(flavor = "multi_thread")]
async fn a_freed_slot_refills_without_a_poll_or_a_notification() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    enqueue(&client, &task("long")).priority(Priority::Urgent).await.unwrap();
    enqueue_many(&client, &tasks(60)).await.unwrap();
    let others_done = Arc::new(Semaphore::new(0));
    let done = Arc::clone(&others_done);
    let worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 2).poll_interval(NEVER).listen(false),
        move |task, _| {
            let done = Arc::clone(&done);
            async move {
                // Holds its slot until all others have gone through the second one.
                if task.name == "long" {
                    drop(done.acquire_many(60).await?);
                } else {
                    done.add_permits(1);
                }
                Ok(())
            }
        },
    );
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed'", 61).await;
    worker.stop().await;
}

// CONFORMANCE 11
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_fixed_cooldown_between_fetches() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 1).poll_interval(NEVER), ok);
    workers_listen(&client, 1).await;
    // A cooldown of 100 ms would take 10 s; without one it is some 3 ms a job.
    takes_less_than(Duration::from_secs(5), "to fetch a hundred times", async || {
        let started = Instant::now();
        for _ in 0..100 {
            enqueue(&client, &task("next")).await.unwrap();
            worker.next_start().await;
        }
        started.elapsed()
    })
    .await;
    worker.stop().await;
}

// CONFORMANCE 12
#[tokio::test(flavor = "multi_thread")]
async fn polling_alone_drains_a_backlog_continuously_and_picks_up_a_trickle() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let poll = Duration::from_millis(500);
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 5).poll_interval(poll).listen(false), ok);
    // Idle first, so that only the poll can find the backlog.
    enqueue(&client, &task("first")).await.unwrap();
    worker.next_start().await;
    // One fetch of 5 a poll would take 50 s.
    takes_less_than(Duration::from_secs(20), "to drain 500 jobs", async || {
        let started = Instant::now();
        enqueue_many(&client, &tasks(500)).await.unwrap();
        for _ in 0..500 {
            worker.next_start().await;
        }
        started.elapsed()
    })
    .await;

    for _ in 0..4 {
        takes_less_than(poll + Duration::from_secs(1), "to find one job", async || {
            let enqueued = Instant::now();
            enqueue(&client, &task("trickle")).await.unwrap();
            worker.next_start().await.at - enqueued
        })
        .await;
    }
    worker.stop().await;
}

// CONFORMANCE 12: the neighbour, a queue beside one that is always busy
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_queue_does_not_keep_the_worker_from_looking_at_the_others() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    let looking = db.connect().await;
    let tx = client.transaction().await.unwrap();
    enqueue_copy(&tx, tasks(20_000).into_iter().map(Ok)).await.unwrap();
    tx.commit().await.unwrap();
    enqueue(&looking, &task("quiet")).queue("quiet").run_in(Duration::from_millis(300)).await.unwrap();
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 50).queue("quiet", 1).listen(false).poll_interval(Duration::from_millis(100)),
        ok,
    );
    until("the quiet queue's job starts", PATIENCE, || {
        let quiet = std::iter::from_fn(|| worker.starts.try_recv().ok()).any(|started| started.name == "quiet");
        async move { quiet.then_some(()) }
    })
    .await;
    let backlog = number(&looking, "SELECT count(*) FROM postrider.job WHERE queue = 'default'").await;
    assert!(backlog > 0, "the busy queue had to be drained first");
    worker.stop().await;
}

// CONFORMANCE 19
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_a_worker_does_not_know_is_left_for_one_that_does() {
    #[derive(Serialize, Deserialize)]
    struct Other {}
    impl Job for Other {
        const KIND: &'static str = "other";
    }
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // In front of everything that the worker knows, and more of them than it has slots.
    let unknown: Vec<NewJob> =
        (0..50).map(|_| NewJob::new("other", Args::default()).unwrap().priority(Priority::Urgent)).collect();
    let ids = ids_of(enqueue_many(&client, &unknown).await.unwrap());
    let mut ignorant = TestWorker::start(&db.database, |w| w.queue("default", 5), ok);
    let known = enqueue(&client, &task("known")).await.unwrap().id;
    assert_eq!(ignorant.next_start().await.job_id, known);
    job_becomes(&client, known, State::Completed).await;
    let record = job(&client, ids[0]).await;
    assert_eq!((record.state, record.attempt), (State::Available, 0));

    let knowing = TestWorker::start(&db.database, |w| w.queue("default", 5).handle(|_: Other, _| async { Ok(()) }), ok);
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE kind = 'other' AND state = 'completed'", 50)
        .await;
    assert_eq!(knowing.stop().await.abandoned + ignorant.stop().await.abandoned, 0);
}

// CONFORMANCE 29 (pause)
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_not_claimed_until_it_is_resumed() {
    for listen in [true, false] {
        let db = TestDatabase::new().await;
        let client = db.connect().await;
        let poll = if listen { NEVER } else { Duration::from_millis(200) };
        let mut worker = TestWorker::start(
            &db.database,
            |w| w.queue("default", 1).queue("control", 1).listen(listen).poll_interval(poll),
            ok,
        );
        workers_listen(&client, 1).await;
        admin::pause(&client, "default").await.unwrap();
        admin::pause(&client, "default").await.unwrap();
        let id = enqueue(&client, &task("paused")).await.unwrap().id;
        // In one claim with the other queue, and in later ones.
        for _ in 0..3 {
            enqueue(&client, &task("control")).queue("control").await.unwrap();
            assert_eq!(worker.next_start().await.name, "control");
        }
        assert_eq!(job(&client, id).await.state, State::Available);
        admin::resume(&client, "default").await.unwrap();
        assert_eq!(worker.next_start().await.job_id, id);
        worker.stop().await;
    }
}

// CONFORMANCE 9 (the small form; tests/stress.rs has the large one)
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_backlog_and_run_no_job_twice() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    enqueue_many(&client, &tasks(500)).await.unwrap();
    let set = |w: postrider::Worker<Starts>| w.queue("default", 7);
    let mut workers = [TestWorker::start(&db.another_pool(), set, ok), TestWorker::start(&db.another_pool(), set, ok)];
    number_becomes(&client, "SELECT count(*) FROM postrider.jobs WHERE state = 'completed' AND attempt = 1", 500).await;
    let mut starts = HashMap::<i64, u32>::new();
    for worker in &mut workers {
        while let Ok(started) = worker.starts.try_recv() {
            *starts.entry(started.job_id).or_default() += 1;
        }
    }
    assert_eq!(starts.len(), 500);
    assert!(starts.values().all(|count| *count == 1));
    assert_eq!(running(&client).await, 0);
    for worker in workers {
        worker.stop().await;
    }
}
