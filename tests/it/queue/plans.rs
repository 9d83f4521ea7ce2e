//! How Postgres runs the statements of the hot path, whatever it believes about the tables
//! (CONFORMANCE 14), and what dead rows cost them (CONFORMANCE 15).

use std::time::Duration;

use crate::support::database::TestDatabase;
use crate::support::rows::{number, number_becomes, workers_listen};
use crate::support::worker::{TestWorker, task};
use postrider::{NewJob, enqueue, enqueue_copy};
use tokio_postgres::Client;

const CLAIM: &str = include_str!("../../../sql/queries/claim/claim.sql");
const CLAIM_SESSION: &str = include_str!("../../../sql/queries/claim/claim_session.sql");
const FIND_BEHIND: &str = include_str!("../../../sql/queries/claim/find_skipped.sql");
const COMPLETE: &str = include_str!("../../../sql/queries/finish/complete.sql");
const FINISH: &str = include_str!("../../../sql/queries/finish/finish.sql");
const FINISH_SESSION: &str = include_str!("../../../sql/queries/finish/finish_session.sql");

/// What a statement is prepared with, and what it is executed with.
struct Statement {
    settings: &'static str,
    text: &'static str,
    types: &'static str,
    values: &'static str,
}

const WORKER: &str = "00000000-0000-0000-0000-000000000001";
const STATEMENTS: [(&str, Statement); 4] = [
    (
        "claim",
        Statement {
            settings: CLAIM_SESSION,
            text: CLAIM,
            types: "text[], bigint[], text[], uuid, timestamptz[], bigint[]",
            values: "'{default,other}', '{100,100}', '{task,mail}', '00000000-0000-0000-0000-000000000001',
                     array_fill('1970-01-01Z'::timestamptz, ARRAY[8]), array_fill(0::bigint, ARRAY[8])",
        },
    ),
    (
        "find_skipped",
        Statement {
            settings: CLAIM_SESSION,
            text: FIND_BEHIND,
            types: "text[], text[], timestamptz[], bigint[]",
            values: "'{default,other}', '{task,mail}', array_fill(now(), ARRAY[8]), array_fill(0::bigint, ARRAY[8])",
        },
    ),
    (
        "complete",
        Statement {
            settings: FINISH_SESSION,
            text: COMPLETE,
            types: "bigint[], integer[], uuid[], bigint",
            values: "'{1,2}', '{1,1}',
                     '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000001}', 86400",
        },
    ),
    (
        "finish",
        Statement {
            settings: FINISH_SESSION,
            text: FINISH,
            types: "bigint[], integer[], uuid[], text[], bigint[], text[], text[]",
            values: "'{1,2}', '{1,1}',
                     '{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000001}',
                     '{completed,completed}', '{86400,86400}', '{NULL,NULL}', '{NULL,NULL}'",
        },
    ),
];

/// The plans of all statements on connections set up as a worker's are. Analyses nothing.
async fn assert_plans(db: &TestDatabase, when: &str) {
    for (name, statement) in &STATEMENTS {
        let Statement { settings, text, types, values } = statement;
        let plan = plan(db, settings, &format!("PREPARE statement ({types}) AS {text}"), values).await;
        for bad in ["Seq Scan on job", "Sort", "Bitmap", "Hash Join"] {
            let is_allowed = ["complete", "finish"].contains(name) && bad == "Hash Join";
            assert!(is_allowed || !plan.contains(bad), "{name} {when}: {bad}\n{plan}");
        }
        let wanted: &[(&str, usize)] = match *name {
            "claim" => {
                &[("Index Scan using job_claim", 4), ("Index Only Scan using job_claim", 1), ("Tid Scan on job", 1)]
            }
            "find_skipped" => &[("Index Scan using job_claim", 1)],
            _ => &[("Index Scan using job_pkey", 1)],
        };
        for (node, count) in wanted {
            assert_eq!(plan.matches(node).count(), *count, "{name} {when}: {node}\n{plan}");
        }
        if *name == "claim" {
            // In a turn, the claim runs without locks. Nothing else may change.
            let unlocked = text.replace(" FOR UPDATE SKIP LOCKED", "");
            assert_ne!(*text, unlocked);
            let unlocked = format!("PREPARE statement ({types}) AS {unlocked}");
            let without = self::plan(db, settings, &unlocked, values).await;
            assert_eq!(nodes(&plan), nodes(&without), "{when}\n{plan}\n{without}");
        }
    }
}

async fn plan(db: &TestDatabase, settings: &str, prepare: &str, values: &str) -> String {
    let client = db.connect().await;
    client.batch_execute(settings).await.unwrap();
    client.batch_execute(prepare).await.unwrap();
    let rows = client.query(&format!("EXPLAIN EXECUTE statement ({values})"), &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    plan.join("\n")
}

/// A session keeps the plans that it made while the tables were empty.
#[tokio::test]
async fn functions_for_one_job_never_scan_a_table() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    for call in [
        "SELECT * FROM postrider.find_job(7)",
        "SELECT postrider.complete(7, 1, gen_random_uuid(), 86400)",
        "SELECT postrider.retry(7)",
        "SELECT postrider.retry(7, only_failed => true)",
        "SELECT postrider.requeue(7, false)",
        "SELECT postrider.cancel(7)",
    ] {
        client.batch_execute("BEGIN").await.unwrap();
        // From the sixth call on, the plan may be a generic one.
        for _ in 0..7 {
            client.batch_execute(call).await.unwrap();
        }
        let scans = "SELECT coalesce(string_agg(format('%s: %s', relname, seq_scan), ', '), '')
                     FROM pg_stat_xact_user_tables WHERE relname ~ '^job' AND seq_scan > 0";
        let scans: String = client.query_one(scans, &[]).await.unwrap().get(0);
        assert_eq!(scans, "", "{call}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

/// The nodes that read tables.
fn nodes(plan: &str) -> Vec<&str> {
    plan.lines().filter(|line| line.contains("Scan")).map(|line| line.trim().split("  (").next().unwrap()).collect()
}

async fn fill(client: &mut Client, count: usize) {
    let tx = client.transaction().await.unwrap();
    enqueue_copy(&tx, (0..count).map(|_| NewJob::of(&task("")))).await.unwrap();
    tx.commit().await.unwrap();
}

// CONFORMANCE 14
#[tokio::test(flavor = "multi_thread")]
async fn claims_and_finishes_are_index_scans_whatever_the_statistics_say() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    client
        .execute(
            &format!(
                "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues)
                 VALUES ('{WORKER}', 1, 15000, 1, 'h', 'v', '{{default}}')"
            ),
            &[],
        )
        .await
        .unwrap();
    assert_plans(&db, "on an empty table").await;
    client.batch_execute("ANALYZE postrider.job").await.unwrap();
    fill(&mut client, 100).await;
    assert_plans(&db, "on a small table with the statistics of an empty one").await;
    fill(&mut client, 100_000).await;
    assert_plans(&db, "on a large table with the statistics of an empty one").await;
    client.batch_execute("ANALYZE postrider.job").await.unwrap();
    assert_plans(&db, "on a large table with its statistics").await;
    client.batch_execute("DELETE FROM postrider.job WHERE id % 1000 <> 0").await.unwrap();
    assert_plans(&db, "on a small table with the statistics of a large one").await;
    client.batch_execute("DELETE FROM postrider.job").await.unwrap();
    client.batch_execute("VACUUM ANALYZE postrider.job").await.unwrap();
    assert_plans(&db, "on an empty table whose indexes are still large").await;
    fill(&mut client, 100_000).await;
    assert_plans(&db, "on a table that is large again, with the statistics of the empty one").await;
}

// CONFORMANCE 15
#[tokio::test(flavor = "multi_thread")]
async fn dead_rows_in_front_are_not_walked_by_each_claim() {
    let db = TestDatabase::new().await;
    let mut client = db.connect().await;
    fill(&mut client, 30_000).await;
    // A snapshot that keeps all dead rows for as long as it lives.
    let old = db.connect().await;
    old.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM postrider.job").await.unwrap();
    let start = || {
        TestWorker::start(
            &db.database,
            |w| w.queue("default", 20).poll_interval(Duration::from_hours(1)),
            |_, _| async { Ok(()) },
        )
    };
    // Figures are complete only when the connections that they are about have ended.
    let first = start();
    number_becomes(&client, "SELECT count(*) FROM postrider.job", 0).await;
    first.stop().await;

    let entries = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'job_claim'";
    let before = settled(&client, entries).await;
    let mut worker = start();
    workers_listen(&client, 1).await;
    for _ in 0..300 {
        enqueue(&client, &task("new")).await.unwrap();
        worker.next_start().await;
    }
    worker.stop().await;
    let read = settled(&client, entries).await - before;
    old.batch_execute("COMMIT").await.unwrap();
    // Reading them each time would be 300 times 30,000. Some scans from the start are allowed.
    println!("{read} index entries read for 300 jobs behind 30,000 dead ones");
    assert!(read < 300 * 30_000 / 10, "{read} index entries read");
}

/// A figure of the statistics, which come late, once it no longer changes.
async fn settled(client: &Client, query: &str) -> i64 {
    let mut last = -1;
    let mut same = 0;
    while same < 4 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = number(client, query).await;
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}
