//! Adding jobs: transactions, paths, options, bad input (CONFORMANCE 1 to 4, 7).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::notifications::NotificationProbe;
use crate::support::rows::{job_becomes, number, terminate_backends, workers_listen};
use crate::support::wait::{PATIENCE, until, within};
use crate::support::worker::{TestWorker, task};
use chrono::{DateTime, Utc};
use postrider::enqueue::{Defaults, MAX_BATCH, enqueue_job};
use postrider::job::MAX_ARGS_BYTES;
use postrider::{
    Args, EnqueueOutcome, Enqueued, Error, Job, NewJob, Priority, State, admin, enqueue, enqueue_copy, enqueue_many,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;

/// No poll comes to the help of a notification within a test.
const NEVER: Duration = Duration::from_hours(1);

/// A kind that sets all of its options.
#[derive(Default, Serialize, Deserialize)]
struct Opinionated {}

impl Job for Opinionated {
    const KIND: &'static str = "opinionated";
    const QUEUE: Option<&'static str> = Some("of_the_kind");
    const PRIORITY: Option<Priority> = Some(Priority::Low);
    const MAX_ATTEMPTS: Option<u32> = Some(7);
}

// CONFORMANCE 1
#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_a_transaction_is_invisible_and_wakes_no_worker_until_commit() {
    let db = TestDatabase::new().await;
    let looking = db.connect().await;
    let mut probe = NotificationProbe::new(&db).await;
    let mut worker =
        TestWorker::start(&db.database, |w| w.queue("default", 1).poll_interval(NEVER), |_, _| async { Ok(()) });
    workers_listen(&looking, 1).await;

    let mut client = db.connect().await;
    let tx = client.transaction().await.unwrap();
    let id = enqueue(&tx, &task("pending")).await.unwrap().id;
    let other = ids_of(enqueue_many(&tx, &[NewJob::of(&task("pending too")).unwrap()]).await.unwrap());
    enqueue_copy(&tx, [NewJob::of(&task("pending as well"))]).await.unwrap();
    assert!(admin::find(&looking, id).await.unwrap().is_none());
    assert!(admin::find(&looking, other[0]).await.unwrap().is_none());
    assert_eq!(probe.all().await, Vec::<String>::new());
    assert!(worker.starts.try_recv().is_err());

    tx.commit().await.unwrap();
    assert_eq!(probe.all().await, ["wake default"], "three calls in one transaction wake once");
    let names = [worker.next_start().await.name, worker.next_start().await.name, worker.next_start().await.name];
    assert_eq!(names, ["pending", "pending too", "pending as well"]);
    worker.stop().await;
}

// CONFORMANCE 1
#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_job_vanishes_and_wakes_no_worker() {
    let db = TestDatabase::new().await;
    let looking = db.connect().await;
    let mut probe = NotificationProbe::new(&db).await;
    let mut client = db.connect().await;

    let tx = client.transaction().await.unwrap();
    enqueue(&tx, &task("one")).await.unwrap();
    enqueue(&tx, &task("keyed")).unique_key("k").await.unwrap();
    enqueue_many(&tx, &[NewJob::of(&task("many")).unwrap()]).await.unwrap();
    enqueue_copy(&tx, [NewJob::of(&task("copy"))]).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(number(&looking, "SELECT count(*) FROM postrider.jobs").await, 0);
    assert_eq!(probe.all().await, Vec::<String>::new());

    // Also only as far as a savepoint.
    let mut tx = client.transaction().await.unwrap();
    let part = tx.savepoint("part").await.unwrap();
    enqueue(&part, &task("undone")).queue("undone").await.unwrap();
    part.rollback().await.unwrap();
    enqueue(&tx, &task("kept")).queue("kept").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(number(&looking, "SELECT count(*) FROM postrider.jobs").await, 1);
    assert_eq!(probe.all().await, ["wake kept"]);
}

/// All columns of all jobs, in the order of their ids. Times relative to the job's creation,
/// where they are not absolute; without the claim, which starts anywhere.
async fn rows(client: &Client) -> Vec<Value> {
    let query = "SELECT to_jsonb(j) - 'id' - 'run_at' - 'created_at' - 'claim'
                        || jsonb_build_object('due_in', extract(epoch FROM run_at - created_at)) AS row
                 FROM postrider.job AS j ORDER BY id";
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get("row")).collect()
}

/// Adds `job` by every path, and as `sql` says, and compares the rows that come of it.
async fn assert_every_path_gives_the_same_row(job: NewJob, sql: &str) {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    enqueue_job(&client, job.clone()).await.unwrap();
    enqueue_many(&client, &[job.clone(), job.clone()]).await.unwrap();
    let tx = client.transaction().await.unwrap();
    assert_eq!(enqueue_copy(&tx, [Ok(job.clone()), Ok(job)]).await.unwrap(), 2);
    tx.commit().await.unwrap();
    client.query_one(sql, &[]).await.unwrap();
    let rows = rows(&client).await;
    assert_eq!(rows.len(), 6);
    for row in &rows {
        assert_eq!(row, &rows[0]);
    }
}

// CONFORMANCE 2
#[tokio::test]
async fn single_many_copy_and_sql_give_the_same_row_by_default() {
    let job = NewJob::new("plain", Args::default()).unwrap();
    assert_every_path_gives_the_same_row(job.clone(), "SELECT postrider.enqueue('plain')").await;
    let nulls = "SELECT postrider.enqueue('plain', NULL, NULL, NULL, NULL, NULL, NULL)";
    assert_every_path_gives_the_same_row(job, nulls).await;
}

// CONFORMANCE 2
#[tokio::test]
async fn single_many_copy_and_sql_give_the_same_row_with_all_options() {
    let args = r#"{"text": "ü \"quoted\" \\u0000", "n": 1.5, "deep": [[[{"a": null}]]]}"#;
    let job = NewJob::new("full", Args::parse(args).unwrap())
        .unwrap()
        .queue("mail/urgent-2")
        .unwrap()
        .priority(Priority::Idle)
        .max_attempts(3)
        .unwrap()
        .run_in(Duration::from_millis(3_600_500))
        .unwrap();
    let sql = format!(
        "SELECT postrider.enqueue('full', '{args}', queue => 'mail/urgent-2', priority => 4,
                                  run_at => now() + interval '3600.5 s', max_attempts => 3)"
    );
    assert_every_path_gives_the_same_row(job, &sql).await;
}

// CONFORMANCE 2
#[tokio::test]
async fn every_path_stores_the_same_absolute_time() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    let time: DateTime<Utc> = "2031-02-03T04:05:06.789012Z".parse().unwrap();
    let job = NewJob::of(&task("later")).unwrap().run_at(time).unwrap();
    enqueue(&client, &task("later")).run_at(time).await.unwrap();
    enqueue_job(&client, job.clone()).await.unwrap();
    enqueue_many(&client, std::slice::from_ref(&job)).await.unwrap();
    let tx = client.transaction().await.unwrap();
    enqueue_copy(&tx, [Ok(job)]).await.unwrap();
    tx.commit().await.unwrap();
    let query = "SELECT run_at FROM postrider.job";
    let times: Vec<DateTime<Utc>> = client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(times, [time; 4]);
}

// CONFORMANCE 2: the neighbour, unique keys
#[tokio::test]
async fn a_unique_key_adds_nothing_while_an_unfinished_job_has_it_on_every_path() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    let keyed = |key: &str| NewJob::of(&task("keyed")).unwrap().unique_key(key).unwrap();
    let first = enqueue(&client, &task("first")).unique_key("k").await.unwrap();
    assert!(first.is_inserted());
    let (id, existing) = (first.id, Enqueued { id: first.id, outcome: EnqueueOutcome::Existing });
    assert_eq!(enqueue_job(&client, keyed("k")).await.unwrap(), existing);
    let jobs = [keyed("z"), keyed("k"), keyed("z"), NewJob::of(&task("free")).unwrap()];
    let many = enqueue_many(&client, &jobs).await.unwrap();
    assert_eq!((many[1], many[0].id), (existing, many[2].id));
    // Which of two equal keys in a batch comes first is the order of the batch.
    assert_eq!([0, 2, 3].map(|place: usize| many[place].is_inserted()), [true, false, true]);
    let query = "SELECT postrider.enqueue('task', unique_key => 'k')";
    assert_eq!(number(&client, query).await, id);
    let query = "SELECT id, outcome FROM postrider.enqueue_with_outcome('task', unique_key => 'k')";
    let row = client.query_one(query, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>("id"), row.get::<_, &str>("outcome")), (id, "existing"));
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 3);

    // COPY cannot check it, so it is refused, and nothing of the batch is left.
    let tx = client.transaction().await.unwrap();
    let refused = enqueue_copy(&tx, [NewJob::of(&task("innocent")), Ok(keyed("k"))]).await.unwrap_err();
    assert!(matches!(refused, Error::Invalid { field: "unique_key", .. }), "{refused}");
    drop(tx);
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 3);

    // Finished, the job lets go of its key.
    admin::cancel(&client, id).await.unwrap();
    assert_ne!(enqueue_job(&client, keyed("k")).await.unwrap().id, id);
}

// CONFORMANCE 2: the neighbour, unique keys in a race
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_enqueue_the_same_key_at_once_one_adds_the_job() {
    let db = TestDatabase::new().await;
    let mut adding = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = db.connect().await;
        adding.spawn(async move { enqueue(&client, &task("raced")).unique_key("k").await.unwrap().id });
    }
    let ids = within("all have an id", PATIENCE, adding.join_all()).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");

    // The second one waits for the end of the first.
    let (mut first, second) = (db.connect().await, db.connect().await);
    let tx = first.transaction().await.unwrap();
    let undone = enqueue(&tx, &task("undone")).unique_key("other").await.unwrap().id;
    let waiting = tokio::spawn(async move { enqueue(&second, &task("second")).unique_key("other").await.unwrap().id });
    let looking = db.connect().await;
    crate::support::rows::number_becomes(&looking, "SELECT count(*) FROM pg_locks WHERE NOT granted", 1).await;
    tx.rollback().await.unwrap();
    assert_ne!(within("the second is added", PATIENCE, waiting).await.unwrap(), undone);
}

// CONFORMANCE 3
#[tokio::test]
async fn an_option_comes_from_the_call_then_the_kind_then_the_client_then_the_built_in() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let defaults =
        Defaults::default().queue("of_the_client").unwrap().priority(Priority::Urgent).max_attempts(3).unwrap();
    let stored = |id| {
        let client = &client;
        async move {
            let job = crate::support::rows::job(client, id).await;
            (job.queue, job.priority, job.max_attempts)
        }
    };
    let is = |queue: &str, priority, attempts| (queue.to_owned(), priority, attempts);

    let id = enqueue(&client, &task("")).await.unwrap().id;
    assert_eq!(stored(id).await, is("default", 2, 25));
    let id = enqueue(&client, &task("")).defaults(&defaults).await.unwrap().id;
    assert_eq!(stored(id).await, is("of_the_client", 1, 3));
    let id = enqueue(&client, &Opinionated {}).defaults(&defaults).await.unwrap().id;
    assert_eq!(stored(id).await, is("of_the_kind", 3, 7));
    let id = enqueue(&client, &Opinionated {}).await.unwrap().id;
    assert_eq!(stored(id).await, is("of_the_kind", 3, 7));
    // In whichever order they are said.
    let id = enqueue(&client, &Opinionated {})
        .defaults(&defaults)
        .queue("of_the_call")
        .priority(Priority::Idle)
        .max_attempts(9)
        .await
        .unwrap()
        .id;
    assert_eq!(stored(id).await, is("of_the_call", 4, 9));
    let id = enqueue(&client, &task(""))
        .queue("of_the_call")
        .priority(Priority::Idle)
        .max_attempts(9)
        .defaults(&defaults)
        .await
        .unwrap()
        .id;
    assert_eq!(stored(id).await, is("of_the_call", 4, 9));
    // Each option by itself; and one said to be what is built in is said all the same.
    let id = enqueue(&client, &task("")).queue("default").defaults(&defaults).await.unwrap().id;
    assert_eq!(stored(id).await, is("default", 1, 3));
}

// CONFORMANCE 4
#[tokio::test]
async fn bad_input_is_a_typed_error_before_any_sql_is_sent() {
    #[derive(Serialize, Deserialize)]
    struct BadKind {}
    impl Job for BadKind {
        const KIND: &'static str = "bad kind";
    }
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    assert_eq!(terminate_backends(&db.connect().await, "%").await, 1);
    until("the connection is closed", PATIENCE, || async { client.is_closed().then_some(()) }).await;
    // Whatever sends SQL over this connection fails otherwise than as invalid.
    let sent = enqueue(&client, &task("good")).await.unwrap_err();
    assert!(matches!(sent, Error::Database(_)), "{sent}");

    let good = || enqueue(&client, &task("good"));
    let year = |year: i32| DateTime::<Utc>::from_timestamp(i64::from(year - 1970) * 31_556_952, 0).unwrap();
    let long = |len: usize| "x".repeat(len);
    let any = Enqueued { id: 0, outcome: EnqueueOutcome::Inserted };
    let refused = [
        ("queue", good().queue("").await),
        ("queue", good().queue("a b").await),
        ("queue", good().queue("über").await),
        ("queue", good().queue("a\n").await),
        ("queue", good().queue("-a").await),
        ("queue", good().queue(&long(65)).await),
        ("kind", enqueue(&client, &BadKind {}).await),
        ("max_attempts", good().max_attempts(0).await),
        ("max_attempts", good().max_attempts(10_001).await),
        ("run_at", good().run_at(year(1960)).await),
        ("run_at", good().run_at(year(10_001)).await),
        ("run_at", good().run_in(Duration::from_hours(2000 * 366 * 24)).await),
        ("unique_key", good().unique_key("").await),
        ("unique_key", good().unique_key(&long(513)).await),
        ("unique_key", good().unique_key("a\0b").await),
        ("args", enqueue(&client, &task("a\0b")).await),
        ("args", enqueue(&client, &task(long(MAX_ARGS_BYTES))).await),
        // The first mistake counts, and a good option after it does not heal it.
        ("queue", good().queue("a b").max_attempts(0).queue("good").await),
        ("jobs", enqueue_many(&client, &[]).await.map(|jobs| jobs[0])),
        ("jobs", enqueue_many(&client, &vec![NewJob::of(&task("")).unwrap(); MAX_BATCH + 1]).await.map(|jobs| jobs[0])),
        ("queue", admin::pause(&client, "a b").await.map(|_| any)),
        ("queue", admin::resume(&client, "").await.map(|_| any)),
    ];
    for (number, (wanted, result)) in refused.into_iter().enumerate() {
        match result {
            Err(Error::Invalid { field, problem, .. }) => assert_eq!(field, wanted, "case {number}: {problem}"),
            other => panic!("case {number}, {wanted}: {other:?}"),
        }
    }
    assert!(Defaults::default().queue("a b").is_err());
    assert!(Defaults::default().max_attempts(0).is_err());
    assert!(NewJob::new("", Args::default()).is_err());
    assert!(Priority::try_from(0).is_err() && Priority::try_from(5).is_err());
}

// CONFORMANCE 4: the neighbour, other languages
#[tokio::test]
async fn bad_input_to_the_sql_function_is_refused_by_name_and_adds_nothing() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    for (named, call) in [
        ("queue", "enqueue('k', queue => 'a b')"),
        ("queue", "enqueue('k', queue => repeat('q', 65))"),
        ("queue", "enqueue('k', queue => E'a\\n')"),
        ("kind", "enqueue('')"),
        ("kind", "enqueue(NULL)"),
        ("kind", "enqueue(repeat('k', 129))"),
        ("priority", "enqueue('k', priority => 0)"),
        ("priority", "enqueue('k', priority => 70000)"),
        ("max_attempts", "enqueue('k', max_attempts => 0)"),
        ("max_attempts", "enqueue('k', max_attempts => 10001)"),
        ("run_at", "enqueue('k', run_at => 'infinity')"),
        ("run_at", "enqueue('k', run_at => '1969-12-31Z')"),
        ("unique_key", "enqueue('k', unique_key => '')"),
        ("unique_key", "enqueue('k', unique_key => repeat('ü', 257))"),
        ("args", "enqueue('k', to_jsonb(repeat('x', 1048576)))"),
        ("args", "enqueue('k', to_jsonb(repeat('\u{1}', 200000)))"),
    ] {
        let error = client.query(&format!("SELECT postrider.{call}"), &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        let said = format!("{} {:?} {:?}", error.message(), error.constraint(), error.column());
        assert!(said.contains(named), "{call}: {said}");
    }
    assert_eq!(number(&client, "SELECT count(*) FROM postrider.job").await, 0);
}

// CONFORMANCE 7
#[tokio::test(flavor = "multi_thread")]
async fn strange_and_huge_args_are_refused_or_run_and_never_block_other_jobs() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let strange = ["\u{1}\u{7f}\u{ffff}", "\\u0000", "\u{1F40E}", "'; DROP TABLE postrider.job; --", "\u{202e}"];
    let mut worker = TestWorker::start(&db.database, |w| w.queue("default", 1), |_, _| async { Ok(()) });
    for name in strange {
        enqueue(&client, &task(name)).await.unwrap();
    }
    let largest = "x".repeat(MAX_ARGS_BYTES - r#"{"name":""}"#.len());
    let big = enqueue(&client, &task(largest.clone())).await.unwrap().id;
    assert!(enqueue(&client, &task(format!("{largest}x"))).await.is_err());
    enqueue(&client, &task("after")).await.unwrap();
    for name in strange {
        assert_eq!(worker.next_start().await.name, name);
    }
    assert_eq!(worker.next_start().await.name.len(), largest.len());
    assert_eq!(worker.next_start().await.name, "after");
    assert_eq!(job_becomes(&client, big, State::Completed).await.error, None);
    worker.stop().await;
}

#[tokio::test]
async fn options_that_few_jobs_have_are_stored_as_given_and_checked() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    client
        .execute(
            "SELECT postrider.enqueue('k', tags => '{red,blue}', trace_context => '00-aa-bb-01', group_key => 'tenant 7',
                 cost => 3, kind_version => 2)",
            &[],
        )
        .await
        .unwrap();
    let select = "SELECT options, group_key FROM postrider.job ORDER BY id DESC LIMIT 1";
    let row = client.query_one(select, &[]).await.unwrap();
    let options = serde_json::json!({
        "tags": ["red", "blue"], "trace_context": "00-aa-bb-01", "cost": 3, "kind_version": 2
    });
    assert_eq!(row.get::<_, serde_json::Value>(0), options);
    assert_eq!(row.get::<_, &str>(1), "tenant 7");

    client.execute("SELECT postrider.enqueue('k', group_key => 'tenant 7')", &[]).await.unwrap();
    let row = client.query_one(select, &[]).await.unwrap();
    assert_eq!(row.get::<_, Option<serde_json::Value>>(0), None);

    for (option, named) in [
        ("tags => array_fill('t'::text, ARRAY[17])", "tags are 17, more than 16"),
        ("tags => ARRAY['']", "a tag is no text of 1 to 64 bytes"),
        ("tags => ARRAY[NULL]::text[]", "a tag is no text of 1 to 64 bytes"),
        ("tags => '{{a,b}}'", "a tag is no text of 1 to 64 bytes"),
        ("tags => ARRAY[repeat('t', 65)]", "a tag is no text of 1 to 64 bytes"),
        ("trace_context => ''", "trace_context is 0 bytes, not 1 to 600"),
        ("trace_context => repeat('t', 601)", "trace_context is 601 bytes, not 1 to 600"),
        ("group_key => ''", "group_key is 0 bytes, not 1 to 255"),
        ("group_key => repeat('ü', 128)", "group_key is 256 bytes, not 1 to 255"),
        ("cost => 0", "cost is 0, not 1 to 1000000"),
        ("cost => 1000001", "cost is 1000001, not 1 to 1000000"),
        ("kind_version => -1", "kind_version is -1, below 0"),
    ] {
        let error = client.execute(&format!("SELECT postrider.enqueue('k', {option})"), &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap_or_else(|| panic!("{option}: {error}"));
        assert_eq!(error.message(), named, "{option}");
    }
}
