//! `diesel-async` 0.9.

use std::error::Error as StdError;

use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use postrider::enqueue::enqueue_job;
use postrider::{Context, Enqueued, Error, NewJob, Schema, enqueue_many};

use crate::contract::{Driver, EFFECT, End, OUTPUT, tests};
use crate::diesel_ended::{Ended, ended};
use crate::support::worker::Starts;

struct DieselAsync(AsyncPgConnection);

impl Driver for DieselAsync {
    async fn connect(url: &str) -> Self {
        Self(AsyncPgConnection::establish(url).await.unwrap())
    }

    async fn transact(&mut self, jobs: &[NewJob], schema: Option<&Schema>, end: End) -> Result<Vec<Enqueued>, Error> {
        ended(
            self.0
                .transaction(async |connection| {
                    connection.batch_execute(EFFECT).await?;
                    let mut enqueued = Vec::new();
                    for job in jobs {
                        enqueued.push(match schema {
                            Some(schema) => enqueue_job(schema.on(&mut *connection), job.clone()).await?,
                            None => enqueue_job(&mut *connection, job.clone()).await?,
                        });
                    }
                    enqueued.extend(match schema {
                        Some(schema) => enqueue_many(schema.on(connection), jobs).await?,
                        None => enqueue_many(connection, jobs).await?,
                    });
                    if end == End::Commit { Ok(enqueued) } else { Err(Ended::RolledBack(enqueued)) }
                })
                .await,
        )
    }

    async fn alone(&mut self, job: NewJob) -> Result<Enqueued, Error> {
        enqueue_job(&mut self.0, job).await
    }

    async fn complete(&mut self, cx: &Context<Starts>, end: End) -> Result<(), Error> {
        ended(
            self.0
                .transaction(async |connection| {
                    connection.batch_execute(EFFECT).await?;
                    cx.complete_in(connection).output(&OUTPUT).await?;
                    if end == End::Commit { Ok(Vec::new()) } else { Err(Ended::RolledBack(Vec::new())) }
                })
                .await,
        )
        .map(drop)
    }

    fn is_own(error: &Error) -> bool {
        let Error::Driver(error) = error else { return false };
        error.source().is_some_and(<dyn StdError>::is::<DieselError>)
    }
}

tests!(DieselAsync);

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_outside_of_a_transaction_is_refused() {
    crate::contract::a_completion_outside_of_a_transaction_is_refused(|url, cx| async move {
        let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
        cx.complete_in(&mut connection).await
    })
    .await;
}
