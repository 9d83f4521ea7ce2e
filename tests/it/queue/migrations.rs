//! Migrations from many places, beside newer releases, behind locks, and half-way failures (CONFORMANCE 38).

use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::login::Login;
use crate::support::wait::PATIENCE;
use postrider::Error;
use postrider::schema::MigrationSet::{App, Queue};

async fn count(database: &TestDatabase, statement: &str) -> i64 {
    database.connect().await.query_one(statement, &[]).await.expect(statement).get(0)
}

#[tokio::test]
async fn twenty_migrators_at_once_on_an_empty_database_all_succeed() {
    let fresh = TestDatabase::empty().await;
    let migrators: Vec<_> = (0..20)
        .map(|number| {
            let database = fresh.database.clone();
            // In both orders, so that the sets meet each other too.
            let sets = if number % 2 == 0 { [Queue, App] } else { [App, Queue] };
            tokio::spawn(async move {
                let mut applied = Vec::new();
                for set in sets {
                    applied.extend(database.migrate(set).await?);
                }
                Ok::<_, Error>(applied)
            })
        })
        .collect();
    let mut applied = Vec::new();
    for migrator in migrators {
        applied.extend(migrator.await.expect("no panic").expect("a migrator"));
    }
    let known = count(
        &fresh,
        "SELECT (SELECT count(*) FROM postrider.schema_version) + (SELECT count(*) FROM postrider_app_migrations)",
    )
    .await;
    assert_eq!(i64::try_from(applied.len()).unwrap(), known, "each was applied by one of them: {applied:?}");
    assert!(applied.iter().any(|name| name == "V1__queue"), "{applied:?}");
    fresh.database.require_schema(&[Queue, App]).await.expect("the schema is there");
}

#[tokio::test]
async fn an_empty_database_is_too_old_and_a_migrated_one_is_not() {
    let fresh = TestDatabase::empty().await;
    let status = fresh.database.schema_status(Queue).await.expect("a status");
    assert_eq!(status.applied, 0);
    assert!(status.needed >= 1 && !status.is_enough());
    match fresh.database.require_schema(&[Queue]).await {
        Err(Error::SchemaTooOld { set: "queue", found: 0, needed }) => assert_eq!(needed, status.needed),
        other => panic!("{other:?}"),
    }

    fresh.database.migrate(Queue).await.expect("migrate");
    let status = fresh.database.schema_status(Queue).await.expect("a status");
    assert_eq!(status.applied, status.needed);
    fresh.database.require_schema(&[Queue]).await.expect("enough");
    assert!(matches!(fresh.database.require_schema(&[Queue, App]).await, Err(Error::SchemaTooOld { set: "app", .. })));
}

#[tokio::test]
async fn a_schema_newer_than_this_release_is_fine() {
    let database = TestDatabase::new().await;
    let insert = "INSERT INTO postrider.schema_version VALUES (9999, 'from_the_future', '2040-01-01T00:00:00Z', '1')";
    database.connect().await.execute(insert, &[]).await.expect("insert");
    assert_eq!(database.database.migrate(Queue).await.expect("migrate"), Vec::<String>::new());
    database.database.require_schema(&[Queue, App]).await.expect("enough");
    assert_eq!(database.database.schema_status(Queue).await.expect("a status").applied, 9999);
}

#[tokio::test]
async fn a_migration_skipped_by_a_newer_one_is_reported() {
    let database = TestDatabase::new().await;
    let skip = "UPDATE postrider.schema_version SET version = 9999 WHERE version = 1";
    database.connect().await.execute(skip, &[]).await.expect("update");
    let error = database.database.migrate(Queue).await.expect_err("a gap").to_string();
    assert!(error.contains("V1__queue was never applied"), "{error}");
}

#[tokio::test]
async fn a_changed_migration_is_an_error_that_says_so() {
    let database = TestDatabase::new().await;
    let change = "UPDATE postrider.schema_version SET checksum = '1' WHERE version = 1";
    database.connect().await.execute(change, &[]).await.expect("update");
    let error = database.database.migrate(Queue).await.expect_err("a divergence");
    assert!(matches!(error, Error::Migration { set: "queue", .. }));
    let text = error.to_string();
    assert!(text.contains("V1__queue") && text.contains("checksums differ"), "{text}");
}

#[tokio::test]
async fn a_migrator_behind_a_lock_gives_up_after_five_seconds_and_says_why() {
    let database = TestDatabase::new().await;
    let mut other = database.connect().await;
    let transaction = other.transaction().await.expect("begin");
    transaction.batch_execute("LOCK TABLE postrider.schema_version IN ACCESS EXCLUSIVE MODE").await.expect("lock");

    let start = Instant::now();
    let error = database.database.migrate(Queue).await.expect_err("locked out").to_string();
    assert!(error.contains("another session held a lock") && error.contains("55P03"), "{error}");
    // The server's five seconds; the rest is for a busy machine. The next longer limit is a minute.
    assert!((Duration::from_secs(4)..Duration::from_secs(40)).contains(&start.elapsed()), "{:?}", start.elapsed());

    // Nothing is left of the attempt: not the migrators' lock either.
    transaction.rollback().await.expect("rollback");
    database.database.migrate(Queue).await.expect("migrate");
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_nothing_and_can_be_tried_again() {
    let fresh = TestDatabase::empty().await;
    let obstacle = "CREATE SCHEMA postrider; CREATE VIEW postrider.jobs AS SELECT 1 AS in_the_way";
    fresh.connect().await.batch_execute(obstacle).await.expect("obstacle");
    let error = fresh.database.migrate(Queue).await.expect_err("an obstacle").to_string();
    assert!(error.contains("V1__queue") && error.contains("\"jobs\""), "{error}");
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'postrider'::regnamespace AND relname NOT IN ('jobs', 'schema_version', 'schema_version_pkey')";
    assert_eq!(count(&fresh, tables).await, 0);
    assert_eq!(count(&fresh, "SELECT count(*) FROM postrider.schema_version").await, 0);

    fresh.connect().await.batch_execute("DROP VIEW postrider.jobs").await.expect("drop");
    assert_eq!(fresh.database.migrate(Queue).await.expect("migrate")[0], "V1__queue");
}

#[tokio::test]
async fn a_migrator_waits_for_its_turn() {
    let fresh = TestDatabase::empty().await;
    let first = fresh.connect().await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('migrate postrider.schema_version', 0))";
    first.query(lock, &[]).await.expect("lock");
    let database = fresh.database.clone();
    let waiting = tokio::spawn(async move { database.migrate(Queue).await });

    // It has asked for its turn, and waits without a statement, so without a snapshot.
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'postrider migrate' AND query LIKE '%pg_try_advisory_lock%' AND state = 'idle'";
    let deadline = Instant::now() + PATIENCE;
    while count(&fresh, asked).await == 0 {
        assert!(Instant::now() < deadline, "no migrator seen");
    }
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(waiting.await.expect("no panic").expect("migrate")[0], "V1__queue");
}

#[tokio::test]
async fn a_search_path_that_begins_with_the_queues_schema_changes_nothing() {
    // As it does for a role named postrider, by Postgres's default.
    let fresh = TestDatabase::empty().await;
    let set =
        "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = postrider, public', current_database()); END$$";
    fresh.connect().await.batch_execute(set).await.expect("set");
    let database = fresh.another_pool();
    for _ in 0..2 {
        for set in [Queue, App] {
            database.migrate(set).await.expect("migrate");
        }
    }
    let strayed = "SELECT count(*) FROM pg_tables WHERE schemaname = 'postrider'
                   AND (tablename LIKE 'tablo%' OR tablename LIKE '%migrations')";
    assert_eq!(count(&fresh, strayed).await, 0);
}

#[tokio::test]
async fn a_schema_dropped_whole_is_made_anew() {
    let database = TestDatabase::new().await;
    database.connect().await.batch_execute("DROP SCHEMA postrider CASCADE").await.expect("drop");
    assert!(matches!(
        database.database.require_schema(&[Queue]).await,
        Err(Error::SchemaTooOld { set: "queue", found: 0, .. })
    ));
    assert_eq!(database.database.migrate(Queue).await.expect("migrate")[0], "V1__queue");
    database.database.require_schema(&[Queue, App]).await.expect("all is there");
}

#[tokio::test]
async fn a_table_dropped_on_its_own_is_named_by_the_migrator() {
    for (set, table) in [(Queue, "postrider.job_history"), (Queue, "postrider.job"), (App, "public.tablo_files")] {
        let database = TestDatabase::new().await;
        database.connect().await.batch_execute(&format!("DROP TABLE {table} CASCADE")).await.expect("drop");
        assert_eq!(database.database.schema_status(set).await.expect("a status").applied, 0, "{table}");
        let error = database.database.migrate(set).await.expect_err("it is gone").to_string();
        assert!(error.contains(&format!("{table} is gone")) && error.contains("restore"), "{error}");
    }
}

/// As a restored dump of the structure alone leaves it: all tables, and no rows.
#[tokio::test]
async fn a_restored_structure_without_rows_is_recognised_and_needs_no_migration() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute("DELETE FROM postrider.schema_version; DELETE FROM public.postrider_app_migrations")
        .await
        .expect("rows go");
    assert_eq!(database.database.schema_status(Queue).await.expect("a status").applied, 0);
    for set in [Queue, App] {
        assert_eq!(database.database.migrate(set).await.expect("migrate"), Vec::<String>::new());
    }
    database.database.require_schema(&[Queue, App]).await.expect("enough");
    client.batch_execute("SELECT postrider.enqueue('k')").await.expect("enqueue");
}

#[tokio::test]
async fn a_schema_without_a_recorded_version_is_refused_with_the_reason() {
    let database = TestDatabase::new().await;
    database.connect().await.batch_execute("DROP TABLE postrider.schema_version").await.expect("drop");
    let error = database.database.migrate(Queue).await.expect_err("no record").to_string();
    assert!(error.contains("postrider.schema_version") && error.contains("restore"), "{error}");

    let newer = TestDatabase::new().await;
    let statement = "DELETE FROM postrider.schema_version;
                     COMMENT ON TABLE postrider.schema_version IS 'up to version 9999'";
    newer.connect().await.batch_execute(statement).await.expect("a newer structure");
    let error = newer.database.migrate(Queue).await.expect_err("newer").to_string();
    assert!(error.contains("9999") && error.contains("newer release"), "{error}");
}

#[tokio::test]
async fn a_database_of_an_unreleased_schema_is_refused_in_one_sentence() {
    let fresh = TestDatabase::empty().await;
    let older = "CREATE TABLE public.postrider_queue_migrations (version integer)";
    fresh.connect().await.batch_execute(older).await.expect("an old record");
    let error = fresh.database.migrate(Queue).await.expect_err("unreleased").to_string();
    assert!(error.contains("made by an unreleased schema") && error.contains("scripts/dev --reset"), "{error}");
}

#[tokio::test]
async fn a_role_that_owns_a_schema_made_for_it_migrates_without_other_rights() {
    let fresh = TestDatabase::empty().await;
    let admin = fresh.connect().await;
    let login = Login::new(&fresh, "").await;
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA postrider AUTHORIZATION {}; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            login.name
        ))
        .await
        .expect("an administrator");
    let database = login.database();
    assert_eq!(database.migrate(Queue).await.expect("migrate")[0], "V1__queue");
    assert_eq!(database.migrate(Queue).await.expect("again"), Vec::<String>::new());
}
