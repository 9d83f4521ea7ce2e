//! What the database refuses for reasons of its own, by its rights or its schema, while workers are at work:
//! it is waited for, and no job is blamed for it.

use std::time::Duration;

use crate::support::command;
use crate::support::database::TestDatabase;
use crate::support::jobs::ids_of;
use crate::support::login::{Login, ROLES};
use crate::support::process::{Process, Signal};
use crate::support::rows::{job_becomes, number, number_becomes};
use postrider::{Args, NewJob, State, enqueue_many};
use serde_json::json;
use tokio_postgres::Client;

const SOON: Duration = Duration::from_mins(1);
const JOBS: i64 = 20;
const NOT_RECORDED: &str = "outcomes not recorded; trying again";

/// A worker with the rights of its role, with jobs that run until a right was revoked.
async fn at_work(db: &TestDatabase, client: &Client) -> Process {
    client.batch_execute(ROLES).await.expect("roles");
    let login = Login::new(db, "IN ROLE postrider_worker").await;
    let worker = Process::spawn(&mut command::worker(&login.url, ["run", "--queues", "default:50"]));
    worker.wait_for_event("worker ready", SOON).await;
    let probe = NewJob::new("probe", Args::of(&json!({"sleep_ms": 3000})).unwrap()).unwrap();
    enqueue_many(client, &vec![probe; usize::try_from(JOBS).unwrap()]).await.unwrap();
    number_becomes(client, "SELECT count(*) FROM postrider.job WHERE running AND kind = 'probe'", JOBS).await;
    worker
}

/// All have run once, and ended well.
async fn all_end_well(client: &Client, mut worker: Process) {
    let well = "SELECT count(*) FROM postrider.job_history
                WHERE kind = 'probe' AND state = 'completed' AND attempt = 1 AND errors IS NULL";
    number_becomes(client, well, JOBS).await;
    assert_eq!(number(client, "SELECT count(*) FROM postrider.job WHERE kind = 'probe'").await, 0);
    assert!(worker.events("job failed").is_empty(), "{}", worker.log());
    worker.signal(Signal::Terminate);
    assert_eq!(worker.wait_for_exit(SOON).await.code(), Some(0), "{}", worker.log());
}

/// What an administrator, or a deploy, takes away and restores.
const TROUBLE: [(&str, &str); 4] = [
    ("REVOKE DELETE ON postrider.job FROM postrider_worker", "GRANT DELETE ON postrider.job TO postrider_worker"),
    (
        "REVOKE UPDATE, DELETE ON postrider.job FROM postrider_worker",
        "GRANT UPDATE, DELETE ON postrider.job TO postrider_worker",
    ),
    ("ALTER TABLE postrider.job_history RENAME TO elsewhere", "ALTER TABLE postrider.elsewhere RENAME TO job_history"),
    (
        "ALTER TABLE postrider.job_history ADD COLUMN needed text; ALTER TABLE postrider.job_history RENAME COLUMN kind TO sort",
        "ALTER TABLE postrider.job_history DROP COLUMN needed; ALTER TABLE postrider.job_history RENAME COLUMN sort TO kind",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_wait_while_the_rights_or_the_schema_for_them_are_missing() {
    for (take, give) in TROUBLE {
        let db = TestDatabase::new().await;
        let client = db.connect().await;
        let worker = at_work(&db, &client).await;
        client.batch_execute(take).await.expect(take);
        worker.wait_for_nth_event(NOT_RECORDED, 3, SOON).await;
        client.batch_execute(give).await.expect(give);
        all_end_well(&client, worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_wait_for_a_partition_that_the_worker_may_not_make() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let worker = at_work(&db, &client).await;
    client
        .batch_execute(
            "REVOKE EXECUTE ON FUNCTION postrider.make_history_partition FROM postrider_worker;
             DO $$ DECLARE name text; BEGIN
                 FOR name IN SELECT relname FROM pg_class WHERE relname ~ '^job_history_[0-9]{8}$' AND relkind = 'r' LOOP
                     EXECUTE format('DROP TABLE postrider.%I', name);
                 END LOOP;
             END $$",
        )
        .await
        .unwrap();
    worker.wait_for_nth_event(NOT_RECORDED, 3, SOON).await;
    let told = worker.wait_for_event("history partition not made", SOON).await;
    assert!(told["advice"].as_str().is_some_and(|advice| advice.contains("worker roles")), "{told}");
    client
        .batch_execute("GRANT EXECUTE ON FUNCTION postrider.make_history_partition TO postrider_worker")
        .await
        .unwrap();
    all_end_well(&client, worker).await;
}

/// A role that an administrator gave rights on rows, and no more.
async fn with_rights_on_rows(db: &TestDatabase) -> Login {
    let login = Login::new(db, "").await;
    let grants = format!(
        "GRANT USAGE ON SCHEMA postrider TO {0};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA postrider, public TO {0};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA postrider TO {0}",
        login.name
    );
    db.connect().await.batch_execute(&grants).await.expect("grants");
    login
}

/// As a day later: the last partition that a worker wants is not there.
const NEXT_DAY: &str = "DO $$ BEGIN
    EXECUTE 'DROP TABLE postrider.' || (SELECT max(relname) FROM pg_class WHERE relname ~ '^job_history_[0-9]{8}$' AND relkind = 'r');
END $$";

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_rights_on_rows_alone_works_on_the_next_day_too() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let login = with_rights_on_rows(&db).await;
    client.batch_execute(NEXT_DAY).await.unwrap();
    let worker = Process::spawn(&mut command::worker(&login.url, ["run"]));
    worker.wait_for_event("worker ready", SOON).await;
    number_becomes(
        &client,
        "SELECT count(*) FROM pg_class WHERE relname ~ '^job_history_[0-9]{8}$' AND relkind = 'r'",
        16,
    )
    .await;

    // Even without the right to make one it works, and says what is missing and what helps.
    client
        .batch_execute(&format!(
            "{NEXT_DAY}; REVOKE EXECUTE ON FUNCTION postrider.make_history_partition FROM PUBLIC, {}",
            login.name
        ))
        .await
        .unwrap();
    let second = Process::spawn(&mut command::worker(&login.url, ["run", "--queues", "other"]));
    let told =
        second.wait_for_event("history partition not made: jobs that expire on its day cannot finish", SOON).await;
    assert!(told["partition"].as_str().is_some_and(|name| name.starts_with("job_history_2")), "{told}");
    assert!(told["advice"].as_str().is_some_and(|advice| advice.contains("worker roles")), "{told}");
    second.wait_for_event("worker ready", SOON).await;
    let probe = NewJob::new("probe", Args::of(&json!({})).unwrap()).unwrap().queue("other").unwrap();
    let id = ids_of(enqueue_many(&client, &[probe]).await.unwrap())[0];
    job_becomes(&client, id, State::Completed).await;
}
