//! The producers: Rust, SQL and the web service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postrider::{Database, enqueue, enqueue_copy, enqueue_many};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::chore::Chore;
use super::ledger::{Enqueued, Fate};
use super::scene::Scene;
use super::support::web::WebService;

/// After this a producer has lost its patience, and does not know what became of its job.
const PATIENCE: Duration = Duration::from_secs(8);

pub struct Producers {
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// How many jobs at once, and how.
#[derive(Clone, Copy)]
enum Way {
    RustOne,
    RustMany,
    RustCopy,
    RustRolledBack,
    SqlOne,
    SqlInTransaction,
    SqlRolledBack,
    Web,
}

const OF_RUST: &[Way] = &[Way::RustOne, Way::RustOne, Way::RustMany, Way::RustCopy, Way::RustRolledBack];
const OF_SQL: &[Way] = &[Way::SqlOne, Way::SqlOne, Way::SqlOne, Way::SqlInTransaction, Way::SqlRolledBack];
const OF_WEB: &[Way] = &[Way::Web];

impl Producers {
    pub fn start(scene: &Scene, seed: u64) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let keys = Arc::new(AtomicU64::new(0));
        for (number, ways) in [OF_RUST, OF_SQL, OF_WEB].into_iter().enumerate() {
            let producer = Producer {
                database: Database::from_url(&format!("{}&application_name=producer", scene.url))
                    .expect("a good URL")
                    .with_pool_size(2),
                web: Arc::clone(&scene.web),
                enqueued: scene.enqueued.clone(),
                random: fastrand::Rng::with_seed(seed + number as u64),
                keys: Arc::clone(&keys),
            };
            running.spawn(producer.run(ways, stop.clone()));
        }
        Self { stop, running }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.running.join_all().await;
    }
}

struct Producer {
    database: Database,
    web: Arc<WebService>,
    enqueued: Enqueued,
    random: fastrand::Rng,
    keys: Arc<AtomicU64>,
}

impl Producer {
    async fn run(mut self, ways: &[Way], stop: CancellationToken) {
        while !stop.is_cancelled() {
            let way = ways[self.random.usize(..ways.len())];
            let chores: Vec<Chore> = (0..way.size()).map(|_| self.chore()).collect();
            let keys: Vec<String> = chores.iter().map(|chore| chore.key.clone()).collect();
            self.enqueued.send(&keys);
            let fate = tokio::time::timeout(PATIENCE, self.send(way, &chores)).await.unwrap_or(Fate::Perhaps);
            self.enqueued.answer(&keys, fate);
            let pause = Duration::from_millis(self.random.u64(20..100));
            tokio::time::sleep(pause).await;
        }
    }

    fn chore(&mut self) -> Chore {
        let key = format!("chore-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        Chore::random(key, &mut self.random)
    }

    async fn send(&self, way: Way, chores: &[Chore]) -> Fate {
        match way {
            Way::Web => by_web(&self.web, &chores[0]).await,
            Way::RustOne | Way::RustMany | Way::SqlOne => self.alone(way, chores).await,
            _ => self.in_transaction(way, chores).await,
        }
    }

    /// One statement: even if its answer is an error, it may have been committed.
    async fn alone(&self, way: Way, chores: &[Chore]) -> Fate {
        let Ok(client) = self.database.client().await else { return Fate::Withdrawn };
        let sent = match way {
            Way::SqlOne => by_sql(&client, &chores[0]).await,
            Way::RustOne => enqueue(&client, &chores[0]).await.is_ok(),
            _ => {
                let jobs: Vec<_> = chores.iter().map(Chore::job).collect();
                enqueue_many(&client, &jobs).await.is_ok()
            }
        };
        if sent { Fate::Committed } else { Fate::Perhaps }
    }

    /// Nothing is committed before COMMIT is sent.
    async fn in_transaction(&self, way: Way, chores: &[Chore]) -> Fate {
        let Ok(mut client) = self.database.client().await else { return Fate::Withdrawn };
        let Ok(tx) = client.transaction().await else { return Fate::Withdrawn };
        let mut sent = true;
        if matches!(way, Way::SqlInTransaction | Way::SqlRolledBack) {
            for chore in chores {
                sent = sent && by_sql(&tx, chore).await;
            }
        } else {
            let jobs: Vec<_> = chores.iter().map(|chore| Ok(chore.job())).collect();
            sent = enqueue_copy(&tx, jobs).await.is_ok();
        }
        if !sent || matches!(way, Way::RustRolledBack | Way::SqlRolledBack) {
            return Fate::Withdrawn;
        }
        if tx.commit().await.is_ok() { Fate::Committed } else { Fate::Perhaps }
    }
}

impl Way {
    fn size(self) -> usize {
        match self {
            Self::RustOne | Self::SqlOne | Self::Web => 1,
            Self::SqlInTransaction | Self::SqlRolledBack => 3,
            Self::RustMany | Self::RustRolledBack => 10,
            Self::RustCopy => 20,
        }
    }
}

async fn by_sql(client: &impl deadpool_postgres::GenericClient, chore: &Chore) -> bool {
    let args = serde_json::to_value(chore).expect("JSON");
    client.query_one("SELECT postrider.enqueue('chore', $1)", &[&args]).await.is_ok()
}

async fn by_web(web: &WebService, chore: &Chore) -> Fate {
    let request = web.request(Method::POST, "/jobs").json(&json!({ "kind": "chore", "args": chore }));
    match request.send().await {
        Ok(answer) if answer.status() == 201 => Fate::Committed,
        Ok(answer) if answer.status().is_client_error() => Fate::Withdrawn,
        _ => Fate::Perhaps,
    }
}
