//! Asking for a cleanup: seldom enough, never too seldom, and cheap to answer.

use std::time::Duration;

use crate::support::interruption::run_until_stalled;
use crate::support::object_store::Point;
use crate::support::tablo_fixture::{JOB, NO_GRACE, TabloFixture, settings};
use postrider::app::jobs::orphan_file_cleanup::Settings;

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_burst_of_a_thousand_deletions_asks_for_a_cleanup_a_second() {
    let fixture = TabloFixture::new().await;
    let mut tablos = Vec::new();
    for _ in 0..1000 {
        tablos.push(fixture.tablo().await);
    }
    let begun = std::time::Instant::now();
    for tablo in tablos {
        fixture.delete(tablo, HOUR).await;
    }
    let seconds = begun.elapsed().as_secs() + 2;
    let cleanups: i64 = fixture
        .sql
        .query_one("SELECT count(*) FROM postrider.jobs WHERE kind = 'orphan_file_cleanup'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(cleanups >= 1 && cleanups.unsigned_abs() <= seconds, "{cleanups} in {seconds} s");
}

#[tokio::test]
async fn a_requested_cleanup_is_due_after_the_grace_and_reads_only_stamped_files() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(1).await;
    fixture.delete(tablo, HOUR).await;
    let job = fixture
        .sql
        .query_one(
            "SELECT j.args::text, j.run_at >= f.delete_after AND j.run_at <= f.delete_after + interval '1 second'
             FROM postrider.jobs AS j, tablo_files AS f",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(job.get::<_, &str>(0), r#"{"stamped_only": true}"#);
    assert!(job.get::<_, bool>(1), "due within the second after the grace");
}

#[tokio::test]
async fn a_deletion_never_takes_a_cleanup_under_way_for_its_own() {
    let fixture = TabloFixture::new().await;
    let (first, second) = (fixture.tablo_with(1).await, fixture.tablo_with(1).await);
    fixture.delete(first, NO_GRACE).await;
    fixture.store.stall_at(Point::BeforeDelete);
    let mut under_way = Box::pin(fixture.clean());
    run_until_stalled(&fixture.store, &mut under_way).await;

    fixture.delete(second, NO_GRACE).await;

    // The keys differ in their generation, so they do also where the second is the same.
    let generations = "SELECT split_part(unique_key, '/', 2) FROM postrider.job ORDER BY id";
    let keys: Vec<String> = fixture.sql.query(generations, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(keys, ["0", "1"]);
    fixture.store.go_on();
    under_way.await;
}

#[tokio::test]
async fn a_cleanup_waits_for_deletions_that_share_its_generation() {
    let fixture = TabloFixture::new().await;
    let tablo = fixture.tablo_with(4).await;
    let mut slow = fixture.database.connect().await;
    let deletion = slow.transaction().await.unwrap();
    deletion.execute("DELETE FROM tablos WHERE id = $1", &[&tablo]).await.unwrap();
    deletion
        .execute(
            "UPDATE tablo_files SET orphaned_at = now(), orphan_cause = 'tablo_deleted', delete_after = now()
             WHERE tablo_id = $1",
            &[&tablo],
        )
        .await
        .unwrap();
    deletion.query("SELECT generation FROM orphan_cleanup FOR SHARE", &[]).await.unwrap();

    let requested = Settings { stamped_only: true, ..settings(JOB) };
    let cleanup = fixture.clean_with(&fixture.client, requested);
    let commit = async {
        fixture.until_somebody_waits("generation + 1").await;
        deletion.commit().await.unwrap();
    };
    let (report, ()) = tokio::join!(cleanup, commit);

    assert_eq!(report.unwrap().deleted, 4);
}

/// The statements of a requested cleanup, each with the types and values of its parameters.
const REQUESTED: [(&str, &str, &str, &str); 5] = [
    ("mark_abandoned", include_str!("../../../sql/queries/app/mark_abandoned.sql"), "bigint", "1000"),
    (
        "mark_orphans",
        include_str!("../../../sql/queries/app/mark_orphans.sql"),
        "float8, timestamptz, uuid, bigint",
        "0, '1970-01-01', '00000000-0000-0000-0000-000000000000', 1000",
    ),
    (
        "claim_marked",
        include_str!("../../../sql/queries/app/claim_marked.sql"),
        "bigint, uuid, bigint",
        "1, '00000000-0000-0000-0000-000000000000', 1000",
    ),
    (
        "settle_deleted",
        include_str!("../../../sql/queries/app/settle_deleted.sql"),
        "uuid[]",
        "array[gen_random_uuid()]",
    ),
    (
        "release_claims",
        include_str!("../../../sql/queries/app/release_claims.sql"),
        "uuid[], bigint",
        "array[gen_random_uuid()], 1",
    ),
];

#[tokio::test]
async fn a_requested_cleanup_never_scans_the_files_that_are_carried() {
    let fixture = TabloFixture::new().await;
    fixture
        .sql
        .batch_execute(
            "INSERT INTO tablos (id, name) SELECT gen_random_uuid(), 'live' FROM generate_series(1, 200);
             INSERT INTO tablo_files (id, tablo_id, name, s3_key, size, state)
             SELECT gen_random_uuid(), t.id, n::text, 'k', 1, 'ready' FROM tablos AS t, generate_series(1, 100) AS n;
             ANALYZE tablo_files;",
        )
        .await
        .unwrap();
    for (name, text, types, values) in REQUESTED {
        fixture.sql.batch_execute(&format!("PREPARE {name} ({types}) AS {text}")).await.unwrap();
        let plan: Vec<String> = fixture
            .sql
            .query(&format!("EXPLAIN EXECUTE {name} ({values})"), &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        assert!(!plan.iter().any(|line| line.contains("Seq Scan on tablo")), "{name}:\n{}", plan.join("\n"));
    }
}
