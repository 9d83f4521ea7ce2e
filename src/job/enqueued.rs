//! What an enqueue did.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::JobId;
use crate::error::Error;

/// The job of an enqueue: a new one, or the unfinished one that has the same unique key already.
///
/// ```no_run
/// # use postrider::Job;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct SendMail { to: String }
/// # impl Job for SendMail { const KIND: &'static str = "send_mail"; }
/// # async fn example(client: tokio_postgres::Client, mail: SendMail) -> Result<(), postrider::Error> {
/// let welcome = postrider::enqueue(&client, &mail).unique_key("welcome/7").await?;
/// if !welcome.is_inserted() {
///     println!("job {} is about to do this", welcome.id);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enqueued {
    /// The id of the job.
    pub id: JobId,
    /// Whether the job is new.
    pub outcome: EnqueueOutcome,
}

impl Enqueued {
    /// Whether the job is new: the outcome is [`EnqueueOutcome::Inserted`].
    #[must_use]
    pub fn is_inserted(&self) -> bool {
        self.outcome == EnqueueOutcome::Inserted
    }
}

/// Whether an enqueue has added a job. `postrider.enqueue_with_outcome` returns the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EnqueueOutcome {
    /// The job is new.
    Inserted,
    /// An unfinished job has the unique key. Nothing was added.
    Existing,
}

impl EnqueueOutcome {
    /// Its word in SQL and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Existing => "existing",
        }
    }
}

impl fmt::Display for EnqueueOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EnqueueOutcome {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "inserted" => Ok(Self::Inserted),
            "existing" => Ok(Self::Existing),
            other => Err(Error::invalid("outcome", format!("is \"{other}\", which this release does not know"))),
        }
    }
}
