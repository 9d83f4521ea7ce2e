//! The testing kit with `#[sqlx::test]`, which gives each test a database of its own.

use std::error::Error as StdError;
use std::time::Duration;

use postrider::schema::MigrationSet;
use postrider::testing::{Outcome, TestWorker};
use postrider::{Context, Database, Job, JobError, Worker, assert_enqueued, enqueue, refute_enqueued};
use serde::{Deserialize, Serialize};
use sqlx_0_8::{ConnectOptions, PgPool};

#[derive(Debug, Serialize, Deserialize)]
struct Confirm {
    order: i64,
    mail: String,
}

impl Job for Confirm {
    const KIND: &'static str = "confirm";
}

#[derive(Debug, Serialize, Deserialize)]
struct Remind {
    order: i64,
}

impl Job for Remind {
    const KIND: &'static str = "remind";
}

/// Enqueues in its own transaction, and completes its job there.
async fn confirm(job: Confirm, cx: Context<PgPool>) -> Result<(), JobError> {
    let mut tx = cx.state().begin().await?;
    sqlx_0_8::query("INSERT INTO confirmation VALUES ($1)").bind(job.order).execute(&mut *tx).await?;
    enqueue(&mut *tx, &Remind { order: job.order }).run_in(Duration::from_hours(72)).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

fn worker(database: Database, pool: PgPool) -> Worker<PgPool> {
    Worker::new(database, pool)
        .queue("default", 10)
        .handle(confirm)
        .handle(|job: Remind, _: Context<PgPool>| async move { Ok(job.order) })
}

async fn test_worker(pool: &PgPool) -> Result<TestWorker<PgPool>, Box<dyn StdError>> {
    let database = Database::from_url(pool.connect_options().to_url_lossy().as_str())?;
    database.migrate(MigrationSet::Queue).await?;
    sqlx_0_8::query("CREATE TABLE confirmation (order_id bigint)").execute(pool).await?;
    Ok(TestWorker::new(worker(database, pool.clone()))?)
}

#[sqlx::test]
async fn a_service_on_sqlx_runs_its_jobs_without_a_worker(pool: PgPool) -> Result<(), Box<dyn StdError>> {
    let worker = test_worker(&pool).await?;
    let mut tx = pool.begin().await?;
    enqueue(&mut *tx, &Confirm { order: 7, mail: "ada@example.org".into() }).await?;
    assert_enqueued!(&mut *tx, Confirm { mail: "ada@example.org", .. });
    refute_enqueued!(&mut tx, Confirm { order: 8, .. });
    tx.commit().await?;

    let ran = worker.run_due(Duration::ZERO).crash_after_effect().await?;
    assert_eq!(ran.len(), 1, "{ran:#?}");
    let confirmed: i64 = sqlx_0_8::query_scalar("SELECT count(*) FROM confirmation").fetch_one(&pool).await?;
    assert_eq!(confirmed, 1);
    let reminder = assert_enqueued!(&pool, Remind { order: 7 });
    let ran = worker.run_due(Duration::from_hours(73)).await?;
    assert!(ran.iter().any(|attempt| attempt.job_id == reminder.id && attempt.outcome.is_completed()), "{ran:#?}");
    refute_enqueued!(&pool, Remind { .. });
    Ok(())
}

/// The other test has a database of its own.
#[sqlx::test]
async fn a_test_sees_no_jobs_of_another(pool: PgPool) -> Result<(), Box<dyn StdError>> {
    let worker = test_worker(&pool).await?;
    refute_enqueued!(&pool, Confirm { .. });
    enqueue(&pool, &Confirm { order: 9, mail: String::new() }).await?;
    let ran = worker.run_due(Duration::ZERO).lose_lease().await?;
    let stale = ran.iter().filter(|attempt| matches!(attempt.outcome, Outcome::Stale)).count();
    assert_eq!((ran.len(), stale), (2, 1), "{ran:#?}");
    let confirmed: i64 = sqlx_0_8::query_scalar("SELECT count(*) FROM confirmation").fetch_one(&pool).await?;
    assert_eq!(confirmed, 1);
    Ok(())
}
