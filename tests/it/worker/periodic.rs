//! Periodic jobs, jobs at start, and whose clock decides (CONFORMANCE 33, 34).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{job_becomes, number, number_becomes, terminate_backends, workers_listen};
use crate::support::wait::{PATIENCE, until};
use crate::support::worker::{Starts, Task, TestWorker, task};
use chrono::{DateTime, TimeDelta, Utc};
use postrider::schema::MigrationSet;
use postrider::{Context, Job, JobError, Priority, State, Worker, enqueue};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

const NEVER: Duration = Duration::from_hours(1);
const TICK: Duration = Duration::from_millis(200);

#[derive(Default, Serialize, Deserialize)]
struct Tick {}

impl Job for Tick {
    const KIND: &'static str = "tick";
    const QUEUE: Option<&'static str> = Some("ticks");
    const PRIORITY: Option<Priority> = Some(Priority::Low);
    const MAX_ATTEMPTS: Option<u32> = Some(2);
}

/// Serves another queue, so that ticks stay where they can be counted.
fn ticking(every: Duration) -> impl Fn(Worker<Starts>) -> Worker<Starts> {
    move |w| w.queue("default", 1).every::<Tick>(every)
}

async fn ok(_: Task, _: Context<Starts>) -> Result<(), JobError> {
    Ok(())
}

const TICKS: &str = "SELECT count(*) FROM postrider.job WHERE kind = 'tick'";
/// Ticks that have passed, by the durable record.
const PASSED: &str = "SELECT (extract(epoch FROM next_tick - first_tick) / 0.2)::bigint FROM postrider.periodic";

async fn next_tick(client: &Client) -> DateTime<Utc> {
    client.query_one("SELECT next_tick FROM postrider.periodic", &[]).await.unwrap().get(0)
}

// CONFORMANCE 33
#[tokio::test(flavor = "multi_thread")]
async fn a_periodic_job_is_enqueued_once_a_tick_over_any_number_of_workers() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let workers: Vec<TestWorker> = (0..4).map(|_| TestWorker::start(&db.another_pool(), ticking(TICK), ok)).collect();
    until("there are ten jobs", PATIENCE, || async { (number(&client, TICKS).await >= 10).then_some(()) }).await;
    for worker in workers {
        worker.stop().await;
    }
    // A machine that stood still for a tick may have collapsed some, but none was doubled.
    let (ticks, passed) = (number(&client, TICKS).await, number(&client, PASSED).await);
    assert!(ticks <= passed, "{ticks} jobs for {passed} ticks");
    let doubled = "SELECT count(*) FROM (SELECT created_at - lag(created_at) OVER (ORDER BY created_at) AS gap
                   FROM postrider.job WHERE kind = 'tick') AS j WHERE gap < interval '1 ms'";
    assert_eq!(number(&client, doubled).await, 0);
    // With the options of their kind.
    let row = client.query_one("SELECT DISTINCT queue, priority::int, max_attempts::int FROM postrider.job", &[]).await;
    let row = row.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1), row.get::<_, i32>(2)), ("ticks", 3, 2));
}

// CONFORMANCE 33
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_ticks_and_those_missed_meanwhile_collapse_into_one() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let start = || TestWorker::start(&db.another_pool(), ticking(NEVER), ok);
    let worker = start();
    workers_listen(&client, 1).await;
    let first = next_tick(&client).await;
    worker.stop().await;
    let worker = start();
    workers_listen(&client, 1).await;
    assert_eq!(next_tick(&client).await, first, "a restart moved the tick");
    worker.stop().await;
    assert_eq!(number(&client, TICKS).await, 0);

    // No worker runs for five and a half hours.
    let missed = "UPDATE postrider.periodic SET first_tick = first_tick - interval '6.5 h', next_tick = next_tick - interval '6.5 h'";
    client.execute(missed, &[]).await.unwrap();
    let workers = [start(), start(), start()];
    number_becomes(&client, TICKS, 1).await;
    workers_listen(&client, 3).await;
    let next = next_tick(&client).await;
    assert_eq!(next - first, TimeDelta::minutes(-30), "the phase is kept");
    assert_eq!(number(&client, TICKS).await, 1);
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(number(&client, TICKS).await, 1);
}

// CONFORMANCE 33
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_schedule_begins_anew() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.another_pool(), ticking(NEVER), ok);
    workers_listen(&client, 1).await;
    let hourly = next_tick(&client).await;
    worker.stop().await;
    let worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1).cron::<Tick>("0 3 1 1 *"), ok);
    workers_listen(&client, 1).await;
    let yearly = next_tick(&client).await;
    assert_ne!(yearly, hourly);
    assert_eq!(yearly.format("%m-%d %H:%M:%S").to_string(), "01-01 03:00:00");
    worker.stop().await;
    assert_eq!(number(&client, TICKS).await, 0);
}

// CONFORMANCE 33
#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_not_lost_when_its_job_cannot_be_added_nor_doubled_when_that_is_slow() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    client
        .batch_execute(
            "CREATE SEQUENCE tries;
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM pg_sleep(0.2);
                 IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'not now'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER slow BEFORE INSERT ON postrider.job FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        .await
        .unwrap();
    let workers: Vec<TestWorker> = (0..3).map(|_| TestWorker::start(&db.another_pool(), ticking(NEVER), ok)).collect();
    workers_listen(&client, 3).await;
    // All look at it at once, since it is due when they read it next: they start anew for that.
    for worker in workers {
        worker.stop().await;
    }
    client.execute("UPDATE postrider.periodic SET next_tick = now() - interval '1 s'", &[]).await.unwrap();
    let workers: Vec<TestWorker> = (0..3).map(|_| TestWorker::start(&db.another_pool(), ticking(NEVER), ok)).collect();
    number_becomes(&client, TICKS, 1).await;
    assert!(next_tick(&client).await > Utc::now());
    workers_listen(&client, 3).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(number(&client, TICKS).await, 1);
    assert_eq!(number(&client, "SELECT last_value FROM tries").await, 3, "three tries, of which one succeeded");
}

// CONFORMANCE 33: crashes of the worker that ticks
#[tokio::test(flavor = "multi_thread")]
async fn ticks_go_on_over_killed_workers_and_connections() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let mut workers = vec![TestWorker::start(&db.another_pool(), ticking(TICK), ok)];
    for _ in 0..5 {
        let before: DateTime<Utc> = client.query_one("SELECT clock_timestamp()", &[]).await.unwrap().get(0);
        workers.push(TestWorker::start(&db.another_pool(), ticking(TICK), ok));
        // One that is cut off while it starts ends with an error, as it should.
        until("the new worker is ready", PATIENCE, || async {
            let ready = "SELECT FROM postrider.worker WHERE started_at >= $1 AND server_started_at IS NOT NULL";
            (!client.query(ready, &[&before]).await.unwrap().is_empty()).then_some(())
        })
        .await;
        let ticks = number(&client, TICKS).await;
        until("it goes on", PATIENCE, || async { (number(&client, TICKS).await >= ticks + 3).then_some(()) }).await;
        terminate_backends(&client, "%").await;
        workers.remove(0).kill().await;
    }
    workers.remove(0).stop().await;
    let (ticks, passed) = (number(&client, TICKS).await, number(&client, PASSED).await);
    assert!(ticks <= passed, "{ticks} jobs for {passed} ticks");
}

// CONFORMANCE 33: the neighbour, a row that was deleted
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tick_is_declared_again() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = TestWorker::start(&db.another_pool(), ticking(TICK), ok);
    workers_listen(&client, 1).await;
    assert_eq!(client.execute("DELETE FROM postrider.periodic", &[]).await.unwrap(), 1);
    number_becomes(&client, "SELECT count(*) FROM postrider.periodic", 1).await;
    let before = number(&client, TICKS).await;
    until("it ticks", PATIENCE, || async { (number(&client, TICKS).await > before).then_some(()) }).await;
    worker.stop().await;
}

// CONFORMANCE 33: the neighbour, one job for each start
#[tokio::test(flavor = "multi_thread")]
async fn each_start_of_a_worker_adds_one_job_of_the_start() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    for starts in 1..=3 {
        let worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1).at_start::<Tick>(), ok);
        number_becomes(&client, TICKS, starts).await;
        worker.stop().await;
    }
    assert_eq!(number(&client, TICKS).await, 3);
}

// CONFORMANCE 34
#[tokio::test(flavor = "multi_thread")]
async fn a_host_clock_hours_off_moves_nothing() {
    for hours in [-5, 5] {
        let db = TestDatabase::empty().await;
        let admin = db.connect().await;
        // The same as a host whose clock is off: all sessions of this database live at another
        // time.
        let set = format!(
            "CREATE SCHEMA skewed;
             CREATE FUNCTION skewed.now() RETURNS timestamptz LANGUAGE sql STABLE
                 AS 'SELECT pg_catalog.now() + interval ''{hours} h''';
             CREATE FUNCTION skewed.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
                 AS 'SELECT pg_catalog.statement_timestamp() + interval ''{hours} h''';
             CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                 AS 'SELECT pg_catalog.clock_timestamp() + interval ''{hours} h''';
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = skewed, pg_catalog, public', current_database()); END $$"
        );
        admin.batch_execute(&set).await.unwrap();
        db.database.migrate(MigrationSet::Queue).await.unwrap();
        // Migrations have a search path of their own, so the defaults are moved by hand.
        let defaults = "ALTER TABLE postrider.job ALTER run_at SET DEFAULT skewed.now(), ALTER created_at SET DEFAULT skewed.now();
             ALTER TABLE postrider.worker ALTER started_at SET DEFAULT skewed.now(), ALTER heartbeat_at SET DEFAULT skewed.now()";
        admin.batch_execute(defaults).await.unwrap();
        let client = db.connect().await;
        let mut worker = TestWorker::start(
            &db.another_pool(),
            |w| w.queue("default", 5).poll_interval(NEVER).every::<Tick>(Duration::from_millis(500)),
            |_, cx| async move {
                if cx.attempt() == 1 {
                    return Err(JobError::retry_after("once more", Duration::from_millis(200)));
                }
                Ok(())
            },
        );
        workers_listen(&client, 1).await;
        let id = enqueue(&client, &task("now")).await.unwrap().id;
        assert_eq!((worker.next_start().await.job_id, worker.next_start().await.attempt), (id, 2));
        let record = job_becomes(&client, id, State::Completed).await;
        let off = (record.created_at - Utc::now()).num_minutes();
        assert!((off - hours * 60).abs() <= 5, "the clock of the test is not skewed: {off} min");
        let late = enqueue(&client, &task("soon")).run_in(Duration::from_millis(300)).await.unwrap().id;
        let record = job_becomes(&client, late, State::Completed).await;
        // Hours it would be by the other clock.
        assert!(record.attempted_at.unwrap() - record.run_at < TimeDelta::minutes(2), "{record:?}");
        let ticks = number(&client, TICKS).await;
        until("it ticks", PATIENCE, || async { (number(&client, TICKS).await > ticks).then_some(()) }).await;
        worker.stop().await;
        // Those of the hours between the clocks would be 36,000.
        assert!(number(&client, TICKS).await < 1_000, "ticks were made up");
    }
}

/// A rolling deployment that changes a schedule, or takes the change back.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_schedules_that_of_the_worker_started_last_is_in_force_while_it_lives() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let ticks_come = async |what: &str| {
        let before = number(&client, TICKS).await;
        until(what, PATIENCE, || async { (number(&client, TICKS).await >= before + 5).then_some(()) }).await;
    };
    let rare = TestWorker::start(&db.another_pool(), ticking(NEVER), ok);
    workers_listen(&client, 1).await;
    let often = TestWorker::start(&db.another_pool(), ticking(TICK), ok);
    ticks_come("the newer schedule is in force beside the older one").await;
    often.stop().await;
    until("the older one is in force again", PATIENCE, || async {
        (next_tick(&client).await > Utc::now() + TimeDelta::minutes(50)).then_some(())
    })
    .await;
    rare.stop().await;

    let often = TestWorker::start(&db.another_pool(), ticking(TICK), ok);
    ticks_come("it takes over at its start").await;
    let rare = TestWorker::start(&db.another_pool(), ticking(NEVER), ok);
    until("the newer schedule is in force", PATIENCE, || async {
        (next_tick(&client).await > Utc::now() + TimeDelta::minutes(50)).then_some(())
    })
    .await;
    // It stays so, although the older one checks every second.
    let (planned, ticks) = (next_tick(&client).await, number(&client, TICKS).await);
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let seen = number(&client, now).await;
    until("the older one has looked", PATIENCE, || async { (number(&client, now).await > seen + 3_000).then_some(()) })
        .await;
    assert_eq!((next_tick(&client).await, number(&client, TICKS).await), (planned, ticks), "it meddles");
    // Killed, not stopped: it must be declared dead first.
    rare.kill().await;
    ticks_come("the schedule of the worker that is left is in force").await;
    often.stop().await;
}

#[derive(Default, Serialize, Deserialize)]
struct Tock {}

impl Job for Tock {
    const KIND: &'static str = "tock";
    const QUEUE: Option<&'static str> = Some("ticks");
}

/// By hand, by a worker of long ago, or by a clock that was wrong for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn ticks_that_no_schedule_gives_are_set_anew_and_stop_no_others() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set =
        |w: Worker<Starts>| w.queue("default", 1).every::<Tick>(TICK).every::<Tock>(TICK).cron::<Task>("0 3 1 1 *");
    let start = || TestWorker::start(&db.another_pool(), set, ok);
    let both_come = async |edit: &str| {
        let tocks = "SELECT count(*) FROM postrider.job WHERE kind = 'tock'";
        let before = (number(&client, TICKS).await, number(&client, tocks).await);
        until(edit, PATIENCE, || async {
            let now = (number(&client, TICKS).await, number(&client, tocks).await);
            (now.0 >= before.0 + 3 && now.1 >= before.1 + 3).then_some(())
        })
        .await;
    };
    let worker = start();
    both_come("both come").await;
    let edits = [
        "next_tick = now() + interval '30 days'",
        "next_tick = 'infinity'",
        "next_tick = '-infinity'",
        "next_tick = '290000-01-01Z'",
        "first_tick = 'infinity', next_tick = 'infinity'",
        "first_tick = '-infinity'",
        "first_tick = now() + interval '1 year'",
        "schedule = 'every 3600000 ms', next_tick = now() + interval '1 h'",
    ];
    // While a worker runs.
    for edit in edits {
        client.execute(&format!("UPDATE postrider.periodic SET {edit} WHERE kind = 'tick'"), &[]).await.expect(edit);
        both_come(edit).await;
    }
    worker.stop().await;
    // And before one starts.
    for edit in edits {
        client.execute(&format!("UPDATE postrider.periodic SET {edit} WHERE kind = 'tick'"), &[]).await.expect(edit);
        let worker = start();
        both_come(edit).await;
        worker.stop().await;
    }
}

/// The seventh field of a cron expression is the year, so there may be a last tick.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_tick_of_a_schedule_is_fired_once_and_then_the_worker_is_idle() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    // No worker ran at that time.
    client
        .batch_execute(
            "INSERT INTO postrider.periodic (kind, schedule, first_tick, next_tick)
             VALUES ('tick', 'cron 0 0 0 1 1 * 2020', '2020-01-01Z', '2020-01-01Z')",
        )
        .await
        .unwrap();
    let start =
        || TestWorker::start(&db.another_pool(), |w| w.queue("default", 1).cron::<Tick>("0 0 0 1 1 * 2020"), ok);
    let worker = start();
    workers_listen(&client, 1).await;
    number_becomes(&client, TICKS, 1).await;
    // A session tells of what it read within a second. A loop without a pause reads thousands of times in two.
    let reads = "SELECT (seq_scan + idx_scan)::bigint FROM pg_stat_user_tables WHERE relname = 'periodic'";
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let (before, since) = (number(&client, reads).await, number(&client, now).await);
    until("two seconds pass", PATIENCE, || async { (number(&client, now).await > since + 2_000).then_some(()) }).await;
    let reads = number(&client, reads).await - before;
    assert!(reads < 100, "{reads} reads of the ticks");
    worker.stop().await;

    let worker = start();
    workers_listen(&client, 1).await;
    worker.stop().await;
    assert_eq!(number(&client, TICKS).await, 1);
    // A worker that declares it for the first time has nothing to fire.
    client.batch_execute("DELETE FROM postrider.periodic").await.unwrap();
    let worker = start();
    workers_listen(&client, 1).await;
    number_becomes(&client, "SELECT count(*) FROM postrider.periodic", 1).await;
    worker.stop().await;
    assert_eq!(number(&client, TICKS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_whose_ticks_fail_or_are_locked_stops_those_of_no_other() {
    const TOCKS: &str = "SELECT count(*) FROM postrider.job WHERE kind = 'tock'";
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let set = |w: Worker<Starts>| w.queue("default", 1).every::<Tick>(TICK).every::<Tock>(TICK);
    let tocks_come = async |why: &str| {
        let before = number(&client, TOCKS).await;
        let came = || async { (number(&client, TOCKS).await >= before + 10).then_some(()) };
        // Far less than ten waits for a lock that nobody limits.
        until(why, Duration::from_secs(30), came).await;
    };
    let worker = TestWorker::start(&db.another_pool(), set, ok);
    tocks_come("both tick").await;

    let other = db.connect().await;
    other.batch_execute("BEGIN; SELECT FROM postrider.periodic WHERE kind = 'tick' FOR UPDATE").await.unwrap();
    let ticks = number(&client, TICKS).await;
    tocks_come("the row of the other is locked").await;
    assert!(number(&client, TICKS).await <= ticks + 1, "it was locked");
    // A worker starts all the same.
    let second = TestWorker::start(&db.another_pool(), set, ok);
    workers_listen(&client, 2).await;
    tocks_come("another worker has started").await;
    other.batch_execute("ROLLBACK").await.unwrap();
    let ticks = number(&client, TICKS).await;
    until("it ticks again", PATIENCE, || async { (number(&client, TICKS).await >= ticks + 3).then_some(()) }).await;
    second.stop().await;

    let refuse = "ALTER TABLE postrider.job ADD CONSTRAINT no_ticks CHECK (kind <> 'tick') NOT VALID";
    client.batch_execute(refuse).await.unwrap();
    tocks_come("the jobs of the other are refused").await;
    client.batch_execute("ALTER TABLE postrider.job DROP CONSTRAINT no_ticks").await.unwrap();
    let ticks = number(&client, TICKS).await;
    until("it ticks again", PATIENCE, || async { (number(&client, TICKS).await >= ticks + 3).then_some(()) }).await;
    worker.stop().await;
}

#[tokio::test]
async fn an_expression_that_never_matches_is_refused_and_blocks_nothing() {
    let db = TestDatabase::new().await;
    let worker = TestWorker::start(&db.another_pool(), |w| w.queue("default", 1).cron::<Tick>("0 0 31 2 *"), ok);
    // On the one thread of this runtime.
    let mut turns = 0;
    while !worker.has_ended() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        turns += 1;
    }
    let error = worker.result().await.expect_err("it never comes").to_string();
    assert!(error.contains("never comes"), "{error}");
    assert!(turns > 1, "nobody else had a turn");
}
