//! `diesel` 2, which blocks.

use std::error::Error as StdError;

use diesel::connection::SimpleConnection;
use diesel::result::Error as DieselError;
use diesel::{Connection, PgConnection};
use postrider::enqueue::enqueue_job;
use postrider::{Context, Enqueued, Error, NewJob, Schema, enqueue_many};

use crate::contract::{Driver, EFFECT, End, OUTPUT, tests};
use crate::diesel_ended::{Ended, ended};
use crate::support::worker::Starts;

struct Diesel(PgConnection);

impl Driver for Diesel {
    async fn connect(url: &str) -> Self {
        Self(PgConnection::establish(url).unwrap())
    }

    async fn transact(&mut self, jobs: &[NewJob], schema: Option<&Schema>, end: End) -> Result<Vec<Enqueued>, Error> {
        ended(self.0.transaction(|connection| {
            connection.batch_execute(EFFECT)?;
            let mut enqueued = Vec::new();
            for job in jobs {
                enqueued.push(match schema {
                    Some(schema) => enqueue_job(schema.on(&mut *connection), job.clone()).execute()?,
                    None => enqueue_job(&mut *connection, job.clone()).execute()?,
                });
            }
            enqueued.extend(match schema {
                Some(schema) => enqueue_many(schema.on(connection), jobs).execute()?,
                None => enqueue_many(connection, jobs).execute()?,
            });
            if end == End::Commit { Ok(enqueued) } else { Err(Ended::RolledBack(enqueued)) }
        }))
    }

    async fn alone(&mut self, job: NewJob) -> Result<Enqueued, Error> {
        enqueue_job(&mut self.0, job).execute()
    }

    async fn complete(&mut self, cx: &Context<Starts>, end: End) -> Result<(), Error> {
        ended(self.0.transaction(|connection| {
            connection.batch_execute(EFFECT)?;
            cx.complete_in(connection).output(&OUTPUT).execute()?;
            if end == End::Commit { Ok(Vec::new()) } else { Err(Ended::RolledBack(Vec::new())) }
        }))
        .map(drop)
    }

    fn is_own(error: &Error) -> bool {
        let Error::Driver(error) = error else { return false };
        error.source().is_some_and(<dyn StdError>::is::<DieselError>)
    }
}

tests!(Diesel);

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_outside_of_a_transaction_is_refused() {
    crate::contract::a_completion_outside_of_a_transaction_is_refused(|url, cx| {
        let mut connection = PgConnection::establish(&url).unwrap();
        let answer = cx.complete_in(&mut connection).execute();
        async move { answer }
    })
    .await;
}
