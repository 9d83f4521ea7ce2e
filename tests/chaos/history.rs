//! The queue's history of the jobs of a run.

use std::collections::HashMap;

use tokio_postgres::Client;
use uuid::Uuid;

use super::ledger::{Run, Time};

/// The end of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    pub state: String,
    pub worker: Option<Uuid>,
    pub attempt: i32,
    pub at: Time,
}

impl Finish {
    /// Whether this run is the attempt that is said to have finished the job, and had come to its
    /// end by then: else a stale one wrote in its place.
    pub fn is_of(&self, run: &Run) -> bool {
        let in_time = run.end.is_some_and(|end| end <= self.at);
        run.done && in_time && self.worker == Some(run.worker) && self.attempt == run.attempt
    }
}

/// The ends of all jobs, by key.
pub async fn finished(admin: &Client) -> HashMap<String, Vec<Finish>> {
    let query =
        "SELECT args ->> 'key', state::text, attempted_by, attempt::integer, (extract(epoch FROM finished_at) * 1000000)::bigint
                 FROM postrider.job_history WHERE kind = 'chore'";
    let mut finished = HashMap::<String, Vec<Finish>>::new();
    for row in admin.query(query, &[]).await.expect("the history") {
        let finish = Finish { state: row.get(1), worker: row.get(2), attempt: row.get(3), at: row.get(4) };
        finished.entry(row.get(0)).or_default().push(finish);
    }
    finished
}
