//! `sea-orm` 2.

use std::error::Error as StdError;

use postrider::enqueue::enqueue_job;
use postrider::{Context, Enqueued, Error, NewJob, Schema, enqueue_many};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbErr, TransactionTrait};

use crate::contract::{Driver, EFFECT, End, OUTPUT, tests};
use crate::support::worker::Starts;

struct SeaOrm(DatabaseConnection);

impl Driver for SeaOrm {
    async fn connect(url: &str) -> Self {
        let mut options = sea_orm::ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        Self(Database::connect(options).await.unwrap())
    }

    /// It prepares every statement: such a pooler is not for sea-orm.
    async fn connect_pooled(_: &str) -> Option<Self> {
        None
    }

    async fn transact(&mut self, jobs: &[NewJob], schema: Option<&Schema>, end: End) -> Result<Vec<Enqueued>, Error> {
        let tx = self.0.begin().await.unwrap();
        tx.execute_unprepared(EFFECT).await.unwrap();
        let schema = schema.cloned().unwrap_or_default();
        let mut enqueued = Vec::new();
        for job in jobs {
            enqueued.push(enqueue_job(schema.on(&tx), job.clone()).await?);
        }
        enqueued.extend(enqueue_many(schema.on(&tx), jobs).await?);
        match end {
            End::Commit => tx.commit().await.unwrap(),
            End::Rollback => tx.rollback().await.unwrap(),
        }
        Ok(enqueued)
    }

    async fn alone(&mut self, job: NewJob) -> Result<Enqueued, Error> {
        enqueue_job(&self.0, job).await
    }

    async fn complete(&mut self, cx: &Context<Starts>, end: End) -> Result<(), Error> {
        let tx = self.0.begin().await.unwrap();
        tx.execute_unprepared(EFFECT).await.unwrap();
        cx.complete_in(&tx).output(&OUTPUT).await?;
        match end {
            End::Commit => tx.commit().await.unwrap(),
            End::Rollback => tx.rollback().await.unwrap(),
        }
        Ok(())
    }

    fn is_own(error: &Error) -> bool {
        let Error::Driver(error) = error else { return false };
        error.source().is_some_and(<dyn StdError>::is::<DbErr>)
    }
}

tests!(SeaOrm);
