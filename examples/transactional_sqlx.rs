//! A job that is enqueued in the transaction of a business write, with `sqlx` 0.8: both commit together, and a
//! transaction that is rolled back leaves neither. The handler completes its job in such a transaction, too.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example transactional_sqlx --features sqlx-0_8,sqlx_0_8/runtime-tokio
//! ```

use std::error::Error;
use std::time::Duration;

use postrider::{Context, Database, Job, JobError, JobId, Shutdown, State, Waiter, Worker, admin};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres, Transaction};
// Postrider supports two versions of sqlx, so it calls this one `sqlx_0_8`. A service has only `sqlx`.
use sqlx_0_8 as sqlx;

const QUEUE: &str = "example_transactional_sqlx";

const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS example_transactional_sqlx;
    CREATE TABLE IF NOT EXISTS example_transactional_sqlx.orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        customer text NOT NULL,
        is_confirmed boolean NOT NULL DEFAULT false
    )";
const INSERT: &str = "INSERT INTO example_transactional_sqlx.orders (customer) VALUES ($1) RETURNING id";
const CONFIRM: &str = "UPDATE example_transactional_sqlx.orders SET is_confirmed = true WHERE id = $1";
const IS_CONFIRMED: &str = "SELECT is_confirmed FROM example_transactional_sqlx.orders WHERE id = $1";

#[derive(Serialize, Deserialize)]
struct ConfirmOrder {
    order: i64,
}

impl Job for ConfirmOrder {
    const KIND: &'static str = "example_transactional_sqlx_confirm";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

/// The business write and its job. The caller decides whether they happen.
async fn place_order(tx: &mut Transaction<'_, Postgres>, customer: &str) -> Result<(i64, JobId), Box<dyn Error>> {
    let order: i64 = sqlx::query_scalar(INSERT).bind(customer).fetch_one(&mut **tx).await?;
    let job = postrider::enqueue(&mut *tx, &ConfirmOrder { order }).awaited().await?;
    println!("order {order} and job {}, not yet committed", job.id);
    Ok((order, job.id))
}

/// None if there is no such order.
async fn is_confirmed(pool: &PgPool, order: i64) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar(IS_CONFIRMED).bind(order).fetch_optional(pool).await
}

/// The pool of the service is the state of its worker.
async fn confirm(job: ConfirmOrder, cx: Context<PgPool>) -> Result<(), JobError> {
    let mut tx = cx.state().begin().await?;
    sqlx::query(CONFIRM).bind(job.order).execute(&mut *tx).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    // The worker has connections of its own, for all that is not in a handler.
    let database = Database::from_url(&url)?;
    let client = database.client().await?;

    let mut tx = pool.begin().await?;
    let (order, job) = place_order(&mut tx, "Grace").await?;
    tx.rollback().await?;
    assert_eq!(is_confirmed(&pool, order).await?, None);
    assert!(admin::find(&client, job).await?.is_none());
    println!("rolled back: there is neither order {order} nor job {job}");

    let mut tx = pool.begin().await?;
    let (order, job) = place_order(&mut tx, "Ada").await?;
    tx.commit().await?;
    assert_eq!(is_confirmed(&pool, order).await?, Some(false));
    assert!(admin::find(&client, job).await?.is_some());
    println!("committed: there are order {order} and job {job}");

    let shutdown = Shutdown::new();
    let worker = Worker::new(database.clone(), pool.clone()).queue(QUEUE, 2).handle(confirm);
    let running = tokio::spawn(worker.run(shutdown.clone()));
    let done = Waiter::new(&database)
        .wait(job, Duration::from_secs(10))
        .await?
        .ok_or("the job has not finished within 10 s")?;
    println!("job {job} is {}, and order {order} is confirmed", done.state);
    assert_eq!(done.state, State::Completed);
    assert_eq!(is_confirmed(&pool, order).await?, Some(true));

    shutdown.begin();
    running.await??;
    pool.close().await;
    Ok(())
}
