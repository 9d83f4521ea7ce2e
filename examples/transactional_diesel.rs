//! A job that is enqueued in the transaction of a business write, with `diesel` 2 and with `diesel-async` 0.9: both
//! commit together, and a transaction that is rolled back leaves neither. The handlers complete their jobs in such
//! transactions, too.
//!
//! ```sh
//! scripts/services start; set -a; . .dev/env; set +a
//! worker migrate
//! cargo run --example transactional_diesel --features _driver_tests
//! ```
//!
//! A service needs `diesel-2` or `diesel-async` of these features.
#![allow(missing_docs, reason = "the macro of diesel writes public items")]

use std::error::Error;
use std::time::Duration;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use postrider::{Context, Database, Job, JobError, JobId, Shutdown, State, Waiter, Worker, admin};
use serde::{Deserialize, Serialize};

const QUEUE: &str = "example_transactional_diesel";

const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS example_transactional_diesel;
    CREATE TABLE IF NOT EXISTS example_transactional_diesel.orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'placed')";

diesel::table! {
    example_transactional_diesel.orders (id) {
        id -> BigInt,
        state -> Text,
    }
}

#[derive(Serialize, Deserialize)]
struct ConfirmOrder {
    order: i64,
}

impl Job for ConfirmOrder {
    const KIND: &'static str = "example_transactional_diesel_confirm";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

#[derive(Serialize, Deserialize)]
struct ShipOrder {
    order: i64,
}

impl Job for ShipOrder {
    const KIND: &'static str = "example_transactional_diesel_ship";
    const QUEUE: Option<&'static str> = Some(QUEUE);
}

/// The business write and its job. The caller decides whether they happen.
fn place_order(tx: &mut PgConnection) -> Result<(i64, JobId), Box<dyn Error>> {
    let order: i64 = diesel::insert_into(orders::table).default_values().returning(orders::id).get_result(&mut *tx)?;
    let job = postrider::enqueue(tx, &ConfirmOrder { order }).awaited().execute()?;
    println!("order {order} and job {}, not yet committed", job.id);
    Ok((order, job.id))
}

/// `diesel` 2 blocks: `.execute()` in place of `.await`. The error of the transaction is [`JobError`], into which the
/// errors of diesel and postrider convert.
#[allow(clippy::needless_pass_by_value, reason = "handlers get their job by value")]
fn confirm(job: ConfirmOrder, cx: Context<String>) -> Result<JobId, JobError> {
    let mut connection = PgConnection::establish(cx.state())?;
    connection.transaction::<_, JobError, _>(|tx| {
        let order = orders::table.find(job.order);
        diesel::update(order).set(orders::state.eq("confirmed")).execute(tx)?;
        let next = postrider::enqueue(&mut *tx, &ShipOrder { order: job.order }).awaited().execute()?;
        cx.complete_in(tx).output(&next.id).execute()?;
        Ok(next.id)
    })
}

/// With `diesel-async`, postrider takes the connection, not the object of a pool: `&mut *pooled`.
async fn ship(job: ShipOrder, cx: Context<String>) -> Result<(), JobError> {
    let mut connection = AsyncPgConnection::establish(cx.state()).await?;
    connection
        .transaction::<_, JobError, _>(async |tx| {
            let shipped = diesel::update(orders::table.find(job.order)).set(orders::state.eq("shipped"));
            // A service that uses only `diesel-async` imports its trait, and not that of diesel.
            diesel_async::RunQueryDsl::execute(shipped, tx).await?;
            cx.complete_in(&mut *tx).await?;
            Ok(())
        })
        .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let database = Database::from_url(&url)?;
    let client = database.client().await?;
    client.batch_execute(TABLES).await?;

    // A service would do this on a thread for what blocks.
    let mut connection = PgConnection::establish(&url)?;
    let mut rolled_back = None;
    let undone = connection.transaction::<(), Box<dyn Error>, _>(|tx| {
        rolled_back = Some(place_order(tx)?);
        Err(DieselError::RollbackTransaction.into())
    });
    assert!(undone.is_err());
    let (order, job) = rolled_back.ok_or("no order was placed")?;
    assert_eq!(orders::table.find(order).count().get_result::<i64>(&mut connection)?, 0);
    assert!(admin::find(&client, job).await?.is_none());
    println!("rolled back: there is neither order {order} nor job {job}");

    let (order, job) = connection.transaction(place_order)?;
    let shutdown = Shutdown::new();
    let worker = Worker::new(database.clone(), url).queue(QUEUE, 2).handle_blocking(confirm).handle(ship);
    let running = tokio::spawn(worker.run(shutdown.clone()));
    let waiter = Waiter::new(&database);
    let late = "the job has not finished within 10 s";
    let confirmed = waiter.wait(job, Duration::from_secs(10)).await?.ok_or(late)?;
    let next = confirmed.output_as::<JobId>()?.ok_or("the job has no output")?;
    let shipped = waiter.wait(next, Duration::from_secs(10)).await?.ok_or(late)?;
    assert_eq!((confirmed.state, shipped.state), (State::Completed, State::Completed));
    let state: String = orders::table.find(order).select(orders::state).get_result(&mut connection)?;
    println!("jobs {job} and {next} are completed, and order {order} is {state}");
    assert_eq!(state, "shipped");

    shutdown.begin();
    running.await??;
    Ok(())
}
