//! The product's own statements, one step each.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postrider::admin;
use tokio_postgres::Client;
use uuid::Uuid;

use super::WORKERS;
use crate::support::database::TestDatabase;

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/", $name, ".sql"))
    };
}

/// Long enough not to pass during a test.
const LATER_MS: i64 = 3_600_000;
const DAY: i64 = 86_400;

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Complete,
    Discard,
    Fail { due: bool },
    Snooze { due: bool },
    GiveBack,
}

/// The one attempt that may write about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub id: i64,
    pub claim: i32,
    pub worker: Uuid,
}

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub state: &'static str,
    pub due: bool,
    pub attempt: i32,
    pub claim: i32,
    pub crash_count: i16,
    pub solo_crash_count: i16,
}

/// The queue, on a real database.
pub struct Queue {
    client: Client,
    workers: Vec<Uuid>,
}

impl Queue {
    pub async fn connect(db: &TestDatabase) -> Self {
        let client = db.connect().await;
        Self { client, workers: Vec::new() }
    }

    pub fn workers(&self) -> Vec<Uuid> {
        self.workers.clone()
    }

    /// Empties it, and registers workers.
    pub async fn clear(&mut self) {
        let all = "TRUNCATE postrider.job; TRUNCATE postrider.job_history; TRUNCATE postrider.worker";
        self.client.batch_execute(all).await.unwrap();
        self.workers.clear();
        for _ in 0..WORKERS {
            let worker = self.register().await;
            self.workers.push(worker);
        }
    }

    async fn register(&self) -> Uuid {
        let id = Uuid::now_v7();
        let queues = ["default"];
        self.client
            .execute(
                sql!("worker/register_worker"),
                &[
                    &id,
                    &0i64,
                    &15_000i32,
                    &0i32,
                    &"host",
                    &"version",
                    &&queues[..],
                    &vec![1i32],
                    &Vec::<String>::new(),
                    &86_400i64,
                    &None::<chrono::DateTime<chrono::Utc>>,
                ],
            )
            .await
            .unwrap();
        id
    }

    /// The job's id, and the number from which its claims count.
    pub async fn enqueue(&self, due: bool, max_attempts: i32) -> (i64, i32) {
        let text = "SELECT postrider.enqueue('task', run_at => CASE WHEN $1 THEN now() ELSE now() + interval '1 hour' END, max_attempts => $2)";
        let id = self.client.query_one(text, &[&due, &max_attempts]).await.unwrap().get(0);
        let claim =
            self.client.query_one("SELECT claim FROM postrider.job WHERE id = $1", &[&id]).await.unwrap().get(0);
        (id, claim)
    }

    pub async fn claim(&self, worker: usize, limit: i64) -> Vec<Fence> {
        let (queues, kinds, worker) = (["default"], ["task"], self.workers[worker]);
        let (times, ids) = ([DateTime::<Utc>::UNIX_EPOCH; 4], [i64::MIN; 4]);
        let rows = self
            .client
            .query(sql!("claim/claim"), &[&&queues[..], &&[limit][..], &&kinds[..], &worker, &&times[..], &&ids[..]])
            .await
            .unwrap();
        let (_, rows) = rows.split_last().unwrap();
        rows.iter().map(|row| Fence { id: row.get(0), claim: row.get(1), worker }).collect()
    }

    /// Whether the fence held.
    pub async fn end(&self, fence: Fence, outcome: Outcome) -> bool {
        let (ids, claims, workers) = ([fence.id], [fence.claim], [fence.worker]);
        let delay = |due| [if due { 0 } else { LATER_MS }];
        let none: [Option<&str>; 1] = [None];
        let rows = match outcome {
            Outcome::Complete => {
                self.client.query(sql!("finish/complete"), &[&&ids[..], &&claims[..], &&workers[..], &DAY]).await
            }
            Outcome::Discard => {
                let (states, kept) = (["discarded"], [DAY]);
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&&ids[..], &&claims[..], &&workers[..], &&states[..], &&kept[..], &&none[..], &&none[..]];
                self.client.query(sql!("finish/finish"), &params).await
            }
            Outcome::Fail { due } => {
                let (delays, errors) = (delay(due), ["failed"]);
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                    [&&ids[..], &&claims[..], &&workers[..], &&delays[..], &&errors[..], &&none[..]];
                self.client.query(sql!("finish/retry"), &params).await
            }
            Outcome::Snooze { due } => {
                let delays = delay(due);
                self.client.query(sql!("finish/snooze"), &[&&ids[..], &&claims[..], &&workers[..], &&delays[..]]).await
            }
            Outcome::GiveBack => {
                let delays = [0i64];
                self.client.query(sql!("finish/release"), &[&&ids[..], &&claims[..], &&workers[..], &&delays[..]]).await
            }
        };
        !rows.unwrap().is_empty()
    }

    /// Whether the job was in a state that allows it.
    pub async fn cancel(&self, id: i64) -> bool {
        admin::cancel(&self.client, id).await.is_ok()
    }

    /// Whether the job was in a state that allows it.
    pub async fn retry(&self, id: i64) -> bool {
        admin::retry(&self.client, id).await.is_ok()
    }

    /// Takes back what the worker had, and puts another in its place. What waits for its backoff then
    /// waits for longer than the test takes.
    pub async fn bury(&mut self, worker: usize) -> Uuid {
        let dead = self.workers[worker];
        let heartbeat: DateTime<Utc> = self
            .client
            .query_one("SELECT heartbeat_at FROM postrider.worker WHERE id = $1", &[&dead])
            .await
            .unwrap()
            .get(0);
        self.client.query(sql!("worker/rescue_worker"), &[&dead, &heartbeat, &DAY, &true]).await.unwrap();
        let wait = "UPDATE postrider.job SET run_at = run_at + interval '1 hour' WHERE run_at > now()";
        self.client.execute(wait, &[]).await.unwrap();
        self.workers[worker] = self.register().await;
        self.workers[worker]
    }

    /// All jobs by id.
    pub async fn jobs(&self) -> BTreeMap<i64, Stored> {
        let all = "SELECT id, CASE WHEN running THEN 'running' ELSE 'waiting' END AS state, run_at <= clock_timestamp() AS due,
                          attempt::integer, claim, crash_count, solo_crash_count FROM postrider.job
                   UNION ALL
                   SELECT id, state::text, true, attempt, claim, crash_count, 0::smallint FROM postrider.job_history";
        let rows = self.client.query(all, &[]).await.unwrap();
        let stored: BTreeMap<i64, Stored> = rows
            .iter()
            .map(|row| {
                let state = match row.get::<_, &str>(1) {
                    "running" => "running",
                    "waiting" => "waiting",
                    "completed" => "completed",
                    "cancelled" => "cancelled",
                    _ => "discarded",
                };
                let stored = Stored {
                    state,
                    due: row.get(2),
                    attempt: row.get(3),
                    claim: row.get(4),
                    crash_count: row.get(5),
                    solo_crash_count: row.get(6),
                };
                (row.get(0), stored)
            })
            .collect();
        assert_eq!(stored.len(), rows.len(), "a job is there twice");
        stored
    }
}
