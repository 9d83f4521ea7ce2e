//! A producer that goes on whatever happens to the database, and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postrider::enqueue::enqueue_job;
use postrider::{Database, JobId, NewJob};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::database::TestDatabase;
use super::wait::{until, within};

/// The pause between two jobs, and before a new try.
const PAUSE: Duration = Duration::from_millis(10);
/// How long everything may take to finish once the trouble is over.
const RECOVERY: Duration = Duration::from_mins(3);

/// Adds one job after the other.
pub struct Producer {
    acknowledged: Arc<Mutex<Vec<JobId>>>,
    stop: CancellationToken,
    producing: AbortOnDropHandle<()>,
}

impl Producer {
    pub fn start(database: &Database, job: NewJob) -> Self {
        let acknowledged = Arc::<Mutex<Vec<JobId>>>::default();
        let stop = CancellationToken::new();
        let producing = produce(database.clone(), job, Arc::clone(&acknowledged));
        let stopped = stop.clone();
        let producing = tokio::spawn(async move {
            stopped.run_until_cancelled(producing).await;
        });
        Self { acknowledged, stop, producing: AbortOnDropHandle::new(producing) }
    }

    /// Waits until this many more jobs are acknowledged.
    pub async fn adds(&self, more: usize) {
        let wanted = self.count() + more;
        until("jobs are added", RECOVERY, || async { (self.count() >= wanted).then_some(()) }).await;
    }

    /// Stops, waits until all is done, and checks that each acknowledged job has finished once.
    /// A job whose answer was lost may exist without having been acknowledged.
    pub async fn all_finish_once(self, db: &TestDatabase) {
        self.stop.cancel();
        within("the producer stops", RECOVERY, self.producing).await.expect("no panic");
        let acknowledged = std::mem::take(&mut *self.acknowledged.lock().unwrap());
        let client = db.connect().await;
        // A read of a serializable database could be cancelled because of the workers' writes.
        client.batch_execute("SET default_transaction_isolation = 'read committed'").await.expect("a setting");
        all_finished_once(&client, &acknowledged).await;
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

/// Waits until no job is left, and checks that these have completed, each once.
pub async fn all_finished_once(client: &Client, acknowledged: &[JobId]) {
    until("no unfinished job is left", RECOVERY, || async {
        let left = "SELECT count(*) FROM postrider.job";
        (client.query_one(left, &[]).await.expect(left).get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let finished = client.query("SELECT id, state::text FROM postrider.job_history", &[]).await.expect("the history");
    let ids: BTreeSet<JobId> = finished.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids.len(), finished.len(), "a job has finished twice");
    assert!(finished.iter().all(|row| row.get::<_, &str>(1) == "completed"), "a job was not completed");
    let lost: Vec<&JobId> = acknowledged.iter().filter(|id| !ids.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} jobs are lost: {lost:?}", lost.len(), acknowledged.len());
}

async fn produce(database: Database, job: NewJob, acknowledged: Arc<Mutex<Vec<JobId>>>) {
    loop {
        // Dropped where it fails, so that the pool looks at it.
        if let Ok(client) = database.client().await
            && let Ok(enqueued) = enqueue_job(&client, job.clone()).await
        {
            acknowledged.lock().unwrap().push(enqueued.id);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
