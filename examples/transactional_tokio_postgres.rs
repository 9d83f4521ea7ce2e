//! A job that is enqueued in the transaction of a business write, with `tokio-postgres`: both commit together, and a
//! transaction that is rolled back leaves neither.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example transactional_tokio_postgres
//! ```

use std::error::Error;
use std::time::Duration;

use postrider::{Context, Database, Job, JobError, JobId, Shutdown, Waiter, Worker, admin};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls, Transaction};

const QUEUE: &str = "example_transactional_tokio_postgres";

const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS example_transactional_tokio_postgres;
    CREATE TABLE IF NOT EXISTS example_transactional_tokio_postgres.orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        customer text NOT NULL
    )";
const INSERT: &str = "INSERT INTO example_transactional_tokio_postgres.orders (customer) VALUES ($1) RETURNING id";
const CUSTOMER: &str = "SELECT customer FROM example_transactional_tokio_postgres.orders WHERE id = $1";

/// Only the id: the handler reads the order when it runs.
#[derive(Serialize, Deserialize)]
struct ConfirmOrder {
    order: i64,
}

impl Job for ConfirmOrder {
    const KIND: &'static str = "example_transactional_tokio_postgres_confirm";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

/// The business write and its job. The caller decides whether they happen.
async fn place_order(tx: &Transaction<'_>, customer: &str) -> Result<(i64, JobId), Box<dyn Error>> {
    let order: i64 = tx.query_one(INSERT, &[&customer]).await?.try_get(0)?;
    let job = postrider::enqueue(tx, &ConfirmOrder { order }).awaited().await?;
    println!("order {order} and job {}, not yet committed", job.id);
    Ok((order, job.id))
}

async fn order_exists(client: &Client, order: i64) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_opt(CUSTOMER, &[&order]).await?.is_some())
}

async fn confirm(job: ConfirmOrder, cx: Context<()>) -> Result<String, JobError> {
    let client = cx.database().client().await?;
    // The order is there: nobody sees the job before the commit of both.
    let customer: String = client.query_one(CUSTOMER, &[&job.order]).await?.try_get(0)?;
    Ok(format!("confirmed to {customer}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    // The connection of the service. The worker has connections of its own.
    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(TABLES).await?;

    let tx = client.transaction().await?;
    let (order, job) = place_order(&tx, "Grace").await?;
    tx.rollback().await?;
    assert!(!order_exists(&client, order).await?);
    assert!(admin::find(&client, job).await?.is_none());
    println!("rolled back: there is neither order {order} nor job {job}");

    let tx = client.transaction().await?;
    let (order, job) = place_order(&tx, "Ada").await?;
    tx.commit().await?;
    assert!(order_exists(&client, order).await?);
    println!("committed: there are order {order} and job {job}");

    let database = Database::from_url(&url)?;
    let shutdown = Shutdown::new();
    let worker = Worker::new(database.clone(), ()).queue(QUEUE, 10).handle(confirm);
    let running = tokio::spawn(worker.run(shutdown.clone()));
    let done = Waiter::new(&database)
        .wait(job, Duration::from_secs(10))
        .await?
        .ok_or("the job has not finished within 10 s")?;
    let output = done.output_as::<String>()?;
    println!("job {job} is {}: {output:?}", done.state);
    assert_eq!(output.as_deref(), Some("confirmed to Ada"));

    shutdown.begin();
    running.await??;
    drop(client);
    connection.await??;
    Ok(())
}
