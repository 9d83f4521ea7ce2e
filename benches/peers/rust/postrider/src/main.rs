//! Postrider, which has no other preset than its defaults.

use std::ops::Range;

use peers_protocol::{Driver, Failure, Tally};
use postrider::schema::MigrationSet;
use postrider::{Context, Database, Job, NewJob, Shutdown, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Nothing {
    n: u64,
}

impl Job for Nothing {
    const KIND: &'static str = "nothing";
}

struct Postrider(Database);

impl Driver for Postrider {
    type Settings = ();

    fn preset(name: &str) -> Option<()> {
        (name == "defaults").then_some(())
    }

    async fn install(url: &str, (): ()) -> Result<(), Failure> {
        Database::from_url(url)?.migrate(MigrationSet::Queue).await?;
        Ok(())
    }

    async fn connect(url: &str, (): ()) -> Result<Self, Failure> {
        Ok(Self(Database::from_url(url)?.with_pool_size(1)))
    }

    async fn enqueue(&mut self, n: u64) -> Result<(), Failure> {
        postrider::enqueue(&self.0.client().await?, &Nothing { n }).await?;
        Ok(())
    }

    async fn enqueue_bulk(&mut self, numbers: Range<u64>) -> Result<(), Failure> {
        let mut client = self.0.client().await?;
        let tx = client.transaction().await?;
        postrider::enqueue_copy(&tx, numbers.map(|n| NewJob::of(&Nothing { n }))).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn work(url: &str, (): (), tally: Tally) -> Result<(), Failure> {
        Worker::new(Database::from_url(url)?, tally)
            .queue("default", 100)
            .handle(|job: Nothing, cx: Context<Tally>| async move {
                cx.state().start(job.n);
                Ok(())
            })
            .run(Shutdown::on_signals()?)
            .await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    peers_protocol::run::<Postrider>().await
}
