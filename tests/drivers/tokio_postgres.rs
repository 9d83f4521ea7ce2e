//! `tokio-postgres`, against which the others are held.

use postrider::enqueue::enqueue_job;
use postrider::{Context, Enqueued, Error, NewJob, Schema, enqueue_many};
use tokio_postgres::{Client, NoTls};

use crate::contract::{Driver, EFFECT, End, OUTPUT, tests};
use crate::support::worker::Starts;

struct TokioPostgres(Client);

impl Driver for TokioPostgres {
    async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    async fn transact(&mut self, jobs: &[NewJob], schema: Option<&Schema>, end: End) -> Result<Vec<Enqueued>, Error> {
        let tx = self.0.transaction().await?;
        tx.batch_execute(EFFECT).await?;
        let schema = schema.cloned().unwrap_or_default();
        let mut enqueued = Vec::new();
        for job in jobs {
            enqueued.push(enqueue_job(schema.on(&tx), job.clone()).await?);
        }
        enqueued.extend(enqueue_many(&schema.on(&tx), jobs).await?);
        match end {
            End::Commit => tx.commit().await?,
            End::Rollback => tx.rollback().await?,
        }
        Ok(enqueued)
    }

    async fn alone(&mut self, job: NewJob) -> Result<Enqueued, Error> {
        enqueue_job(&self.0, job).await
    }

    async fn complete(&mut self, cx: &Context<Starts>, end: End) -> Result<(), Error> {
        let tx = self.0.transaction().await?;
        tx.batch_execute(EFFECT).await?;
        cx.complete_in(&tx).output(&OUTPUT).await?;
        match end {
            End::Commit => Ok(tx.commit().await?),
            End::Rollback => Ok(tx.rollback().await?),
        }
    }

    fn is_own(error: &Error) -> bool {
        matches!(error, Error::Database(_))
    }
}

tests!(TokioPostgres);
