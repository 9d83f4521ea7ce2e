//! What a worker does while its database is in trouble, and after: it goes on, and nothing is lost
//! (CONFORMANCE 13, 24, 27).

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::cluster::{Cluster, OPEN};
use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::process::{Process, Signal, kill};
use crate::support::producer::{Producer, all_finished_once};
use crate::support::rows::{job, job_becomes, number, number_becomes, running, terminate_backends};
use crate::support::small_disk::SmallDisk;
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, Task, TestWorker, task, tasks};
use postrider::{Args, Context, JobError, NewJob, State, enqueue, enqueue_many};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, NoTls};

/// For what waits for a server to recover, or for a worker that has backed off.
const SOON: Duration = Duration::from_mins(2);

fn probe(args: &serde_json::Value) -> NewJob {
    NewJob::new("probe", Args::of(args).unwrap()).unwrap()
}

/// A cluster of the test's own, with a database and a real worker.
async fn in_own_cluster(settings: &[&str]) -> (Cluster, TestDatabase, Process) {
    let cluster = Cluster::start(OPEN, settings);
    let db = TestDatabase::in_cluster(&cluster).await;
    let worker = start(&db).await;
    (cluster, db, worker)
}

async fn start(db: &TestDatabase) -> Process {
    let worker = Process::spawn(&mut command::worker(&db.url, ["run", "--queues", "default:20"]));
    let ready = worker.wait_for_event("worker ready", SOON).await;
    assert_eq!(ready["listen"], true);
    worker
}

/// It has never exited, and does so properly when it is asked.
async fn ends_well(mut worker: Process) {
    worker.signal(Signal::Terminate);
    let status = worker.wait_for_exit(SOON).await;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
}

// CONFORMANCE 27
#[tokio::test]
async fn a_server_that_is_stopped_hard_under_load_loses_nothing() {
    let (cluster, db, worker) = in_own_cluster(&[]).await;
    let producer = Producer::start(&db.another_pool(), probe(&json!({"sleep_ms": 50})));
    for round in 1..=3 {
        producer.adds(30).await;
        cluster.stop_hard();
        worker.wait_for_nth_event("listener lost", round, SOON).await;
        cluster.start_again();
        worker.wait_for_nth_event("listener restored", round, SOON).await;
    }
    producer.adds(30).await;
    producer.all_finish_once(&db).await;
    ends_well(worker).await;
}

// CONFORMANCE 27: one backend that crashes takes all sessions of the server with it
#[tokio::test]
async fn a_backend_that_crashes_loses_nothing() {
    let (_cluster, db, worker) = in_own_cluster(&[]).await;
    let producer = Producer::start(&db.another_pool(), probe(&json!({"sleep_ms": 50})));
    for (round, purpose) in ["claim", "finish", "listen"].into_iter().enumerate() {
        producer.adds(30).await;
        let backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'postrider ' || $1";
        let client = db.connect().await;
        let pid: i32 = until("it has such a session again", SOON, async || {
            client.query(backend, &[&purpose]).await.unwrap().first().map(|row| row.get(0))
        })
        .await;
        kill(pid.unsigned_abs(), Signal::Kill);
        worker.wait_for_nth_event("listener lost", round + 1, SOON).await;
        worker.wait_for_nth_event("listener restored", round + 1, SOON).await;
    }
    producer.adds(30).await;
    producer.all_finish_once(&db).await;
    ends_well(worker).await;
}

// CONFORMANCE 27: the neighbour, a database that does not wait for the flush of commits
#[tokio::test]
async fn an_outcome_survives_a_crash_although_commits_are_asynchronous() {
    // The writer of the log sleeps, so that what is not flushed at a commit is lost in the crash.
    let (_cluster, db, worker) = in_own_cluster(&["synchronous_commit = off", "wal_writer_delay = 10s"]).await;
    let client = db.connect().await;
    client.batch_execute("SET synchronous_commit = on").await.unwrap();
    let id = ids_of(enqueue_many(&client, &[probe(&json!({}))]).await.unwrap())[0];
    job_becomes(&client, id, State::Completed).await;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    kill(pid.unsigned_abs(), Signal::Kill);
    worker.wait_for_event("listener restored", SOON).await;
    assert_eq!(job(&db.connect().await, id).await.state, State::Completed);
    ends_well(worker).await;
}

async fn take_all_slots(cluster: &Cluster, taken: &mut Vec<Client>) {
    while let Ok((client, connection)) = tokio_postgres::connect(&cluster.url("postgres"), NoTls).await {
        tokio::spawn(connection);
        taken.push(client);
    }
}

// CONFORMANCE 27: the neighbour, others were faster to reconnect
#[tokio::test]
async fn a_worker_that_finds_all_connections_taken_waits_for_its_turn() {
    let (cluster, db, worker) = in_own_cluster(&["superuser_reserved_connections = 0"]).await;
    let client = db.connect().await;
    // They end when there is no connection left.
    let before = ids_of(enqueue_many(&client, &vec![probe(&json!({"sleep_ms": 3000})); 20]).await.unwrap());
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running AND kind = 'probe'", 20).await;
    let mut others = Vec::new();
    take_all_slots(&cluster, &mut others).await;
    while terminate_backends(&client, "postrider %").await > 0 {
        take_all_slots(&cluster, &mut others).await;
    }
    let meanwhile = ids_of(enqueue_many(&client, &vec![probe(&json!({})); 20]).await.unwrap());
    // Of the claims, of the heartbeat, of the outcomes.
    worker.wait_for_line(|line| line.contains("53300") && line.contains("claim failed"), SOON).await;
    worker.wait_for_line(|line| line.contains("53300") && line.contains("outcomes not recorded"), SOON).await;
    drop(others);
    all_finished_once(&client, &[before, meanwhile].concat()).await;
    worker.wait_for_event("listener restored", SOON).await;
    ends_well(worker).await;
}

// CONFORMANCE 31: the neighbour, the server itself takes no writes for a time
#[tokio::test]
async fn a_database_that_takes_no_writes_is_waited_for() {
    let (_cluster, db, worker) = in_own_cluster(&[]).await;
    let client = db.connect().await;
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    // They end when it takes no writes any more.
    let ids = ids_of(enqueue_many(&client, &vec![probe(&json!({"sleep_ms": 2000})); 40]).await.unwrap());
    number_becomes(&client, "SELECT count(*) FROM postrider.job WHERE running AND kind = 'probe'", 20).await;
    client.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    client.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    worker.wait_for_line(|line| line.contains("25006") && line.contains("outcomes not recorded"), SOON).await;
    worker.wait_for_line(|line| line.contains("heartbeat failed"), SOON).await;
    client.batch_execute("ALTER SYSTEM RESET default_transaction_read_only").await.unwrap();
    client.execute("SELECT pg_reload_conf()", &[]).await.unwrap();
    all_finished_once(&client, &ids).await;
    ends_well(worker).await;
}

// CONFORMANCE 27: the neighbour, no room for a single row more
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let (cluster, db, worker) = in_own_cluster(&[]).await;
    let disk = SmallDisk::under(&cluster, &db).await;
    // Rows of a kilobyte, so that what is left of the pages in use does not take them all.
    let jobs = vec![probe(&json!({"sleep_ms": 20, "fail": "x".repeat(1024), "fail_times": 0})); 2_000];
    let ids = ids_of(enqueue_many(&db.connect().await, &jobs).await.unwrap());
    let producer = Producer::start(&db.another_pool(), probe(&json!({})));
    producer.adds(30).await;
    disk.fill().await;
    worker.wait_for_line(|line| line.contains("53100") && line.contains("outcomes not recorded"), SOON).await;
    disk.free().await;
    producer.adds(30).await;
    producer.all_finish_once(&db).await;
    all_finished_once(&db.connect().await, &ids).await;
    ends_well(worker).await;
}

/// The resident memory of a process, in MiB.
fn memory(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

// CONFORMANCE 24: the neighbour, in bytes
#[tokio::test]
async fn while_nothing_can_be_recorded_the_memory_of_a_worker_is_bounded() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = start(&db).await;
    let mut locking = db.connect().await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job_history IN EXCLUSIVE MODE").await.unwrap();
    let before = memory(&worker);
    // Of a kilobyte each, so that all of them would be 40 MiB and more.
    let job = probe(&json!({"fail": "x".repeat(1024), "fail_times": 0}));
    for _ in 0..4 {
        enqueue_many(&client, &vec![job.clone(); 10_000]).await.unwrap();
    }
    let last = Cell::new((0, Instant::now()));
    until("claims are held up", SOON, || async {
        let claimed = number(&client, "SELECT count(*) FROM postrider.job WHERE running").await;
        if claimed != last.get().0 {
            last.set((claimed, Instant::now()));
        }
        (claimed > 0 && last.get().1.elapsed() > Duration::from_secs(1)).then_some(())
    })
    .await;
    assert!(memory(&worker) < before + 48, "{} MiB, {before} before", memory(&worker));
    lock.rollback().await.unwrap();
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    ends_well(worker).await;
}

// CONFORMANCE 13: the neighbours, a limit on the role, and a table that is locked for longer
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_timeout_of_the_database_and_a_locked_table_are_waited_out() {
    let db = TestDatabase::new().await;
    db.set("statement_timeout = '100ms'").await;
    let database = db.another_pool();
    let worker = TestWorker::start(&database, |w| w.queue("default", 10), ok);
    let producer = Producer::start(&database, NewJob::of(&task("")).unwrap());
    producer.adds(20).await;
    let mut locking = db.connect().await;
    locking.batch_execute("SET statement_timeout = 0").await.unwrap();
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE postrider.job IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // Longer than any of its statements may take.
    lock.batch_execute("SELECT pg_sleep(6)").await.unwrap();
    lock.rollback().await.unwrap();
    producer.adds(20).await;
    producer.all_finish_once(&db).await;
    worker.stop().await;
}

// CONFORMANCE 24: the neighbour, a deadlock with another program's transaction
#[tokio::test(flavor = "multi_thread")]
async fn outcomes_that_lose_a_deadlock_are_recorded_afterwards() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let gates = Arc::new([Semaphore::new(0), Semaphore::new(0)]);
    let closed = Arc::clone(&gates);
    let mut worker = TestWorker::start(
        &db.database,
        |w| w.queue("default", 3),
        move |task, _| {
            let gates = Arc::clone(&closed);
            async move {
                gates[usize::from(task.name != "0")].acquire().await?.forget();
                Ok(())
            }
        },
    );
    let ids = ids_of(enqueue_many(&client, &tasks(3)).await.unwrap());
    for _ in &ids {
        worker.next_start().await;
    }
    let lock = "SELECT pg_backend_pid() FROM postrider.job WHERE id = $1 FOR UPDATE";
    let (mut one, mut other) = (db.connect().await, db.connect().await);
    // It must not be the one that gives way.
    other.batch_execute("SET deadlock_timeout = '1min'").await.unwrap();
    let (one, other) = (one.transaction().await.unwrap(), other.transaction().await.unwrap());
    let one_pid: i32 = one.query_one(lock, &[&ids[0]]).await.unwrap().get(0);
    let other_pid: i32 = other.query_one(lock, &[&ids[2]]).await.unwrap().get(0);
    // The first outcome is held up alone, so that the two others come in one batch.
    gates[0].add_permits(1);
    is_waited_for(&client, one_pid).await;
    gates[1].add_permits(2);
    until("the others have ended", PATIENCE, || async { (worker.metrics.running() == 0).then_some(()) }).await;
    one.commit().await.unwrap();
    // It holds the second job and wants the third.
    is_waited_for(&client, other_pid).await;
    other.execute(lock, &[&ids[1]]).await.unwrap();
    other.commit().await.unwrap();
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    number_becomes(&client, deadlocks, 1).await;
    for id in ids {
        assert_eq!(job_becomes(&client, id, State::Completed).await.attempt, 1);
    }
    assert_eq!(worker.metrics.stale(), 0);
    worker.stop().await;
}

async fn is_waited_for(client: &Client, pid: i32) {
    let waiting = "SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
    until("a session waits", PATIENCE, || async {
        (client.query(waiting, &[&pid]).await.unwrap().len() == 1).then_some(())
    })
    .await;
}

// CONFORMANCE 9, 24: the neighbour, a database whose transactions are serializable by default
#[tokio::test(flavor = "multi_thread")]
async fn serialisation_failures_cost_time_and_nothing_else() {
    let db = TestDatabase::new().await;
    db.set("default_transaction_isolation = 'serializable'").await;
    let workers: Vec<TestWorker> =
        (0..3).map(|_| TestWorker::start(&db.another_pool(), |w| w.queue("default", 10), ok)).collect();
    let producers: Vec<Producer> =
        (0..2).map(|_| Producer::start(&db.another_pool(), NewJob::of(&task("")).unwrap())).collect();
    for producer in producers {
        producer.adds(100).await;
        producer.all_finish_once(&db).await;
    }
    for worker in workers {
        worker.stop().await;
    }
}

// CONFORMANCE 25, 27: the neighbour, handlers hold all connections of the pool
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_handlers_hold_whole_stops_neither_claims_nor_outcomes() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let pool = db.another_pool().with_pool_size(2);
    let mut worker = TestWorker::start(
        &pool,
        |w| w.queue("default", 10).shutdown_timeout(Duration::ZERO),
        |task, cx| async move {
            if task.name == "holds" {
                let _held = cx.database().client().await?;
                cx.cancelled().await;
            }
            Ok(())
        },
    );
    let holding =
        [enqueue(&client, &task("holds")).await.unwrap().id, enqueue(&client, &task("holds")).await.unwrap().id];
    for _ in holding {
        assert_eq!(worker.next_start().await.name, "holds");
    }
    until("the pool is held", PATIENCE, || async { (pool.pool().status().available == 0).then_some(()) }).await;
    for _ in 0..20 {
        let id = enqueue(&client, &task("passes")).await.unwrap().id;
        job_becomes(&client, id, State::Completed).await;
    }
    worker.stop().await;
    assert_eq!(running(&client).await, 0);
}

// CONFORMANCE 25, 27: the neighbour, handlers hold all connections of the pool
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_handlers_hold_whole_stops_neither_cancels_nor_rescues() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let holds = |task: Task, cx: Context<Starts>| async move {
        let held = if task.name == "holds" { Some(cx.database().client().await?) } else { None };
        if held.is_some() || task.name == "waits" {
            cx.cancelled().await;
        }
        Ok(())
    };
    let mut dying = TestWorker::start(&db.another_pool(), |w| w.queue("dying", 1), |_, _| std::future::pending());
    let lost = enqueue(&client, &task("lost")).queue("dying").await.unwrap().id;
    dying.next_start().await;
    let pool = db.another_pool().with_pool_size(2);
    let mut worker =
        TestWorker::start(&pool, |w| w.queue("default", 10).queue("dying", 1).shutdown_timeout(Duration::ZERO), holds);
    enqueue_many(&client, &[task("holds"), task("holds"), task("waits")].map(|task| NewJob::of(&task).unwrap()))
        .await
        .unwrap();
    let mut waiting = 0;
    for _ in 0..3 {
        let started = worker.next_start().await;
        waiting = if started.name == "waits" { started.job_id } else { waiting };
    }
    until("the pool is held", PATIENCE, || async { (pool.pool().status().available == 0).then_some(()) }).await;
    for _ in 0..20 {
        let id = enqueue(&client, &task("passes")).await.unwrap().id;
        job_becomes(&client, id, State::Completed).await;
    }
    postrider::admin::cancel(&client, waiting).await.unwrap();
    dying.kill().await;
    job_becomes(&client, lost, State::Completed).await;
    job_becomes(&client, waiting, State::Completed).await;
    worker.shutdown.begin();
    worker.stop().await;
}

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}
