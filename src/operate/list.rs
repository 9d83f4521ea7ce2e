//! One job, and pages of jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::database::Queryable;
use crate::job::{JobId, JobRecord, State};
use crate::{Error, store};

/// Which jobs [`list`] shows. The default is the newest 100 of any kind.
#[derive(Clone, Debug)]
pub struct ListFilter {
    /// Only jobs in this state.
    pub state: Option<State>,
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs of this queue.
    pub queue: Option<String>,
    /// Only jobs with a lower id: the last id of the page before.
    pub after: Option<JobId>,
    /// At most so many.
    pub limit: u32,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self { state: None, kind: None, queue: None, after: None, limit: 100 }
    }
}

/// Which jobs [`failed`] shows. The default is the newest 100 failures.
#[derive(Clone, Debug)]
pub struct FailedFilter {
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs of this queue.
    pub queue: Option<String>,
    /// Only failures of the last so long.
    pub since: Option<Duration>,
    /// Only [`State::Retryable`] (waiting, due or running again) or only [`State::Discarded`].
    pub state: Option<State>,
    /// Only what comes after this failure: the last time and id of the page before.
    pub after: Option<(DateTime<Utc>, JobId)>,
    /// At most so many.
    pub limit: u32,
}

impl Default for FailedFilter {
    fn default() -> Self {
        Self { kind: None, queue: None, since: None, state: None, after: None, limit: 100 }
    }
}

/// One job, or none with this id.
///
/// # Errors
/// [`Error::Database`].
pub async fn find(client: &impl Queryable, id: JobId) -> Result<Option<JobRecord>, Error> {
    store::lookup::find_job(client.raw(), id).await
}

/// A page of jobs, the highest id first.
///
/// # Errors
/// [`Error::Database`].
pub async fn list(client: &impl Queryable, filter: &ListFilter) -> Result<Vec<JobRecord>, Error> {
    store::lookup::list_jobs(client.raw(), filter).await
}

/// A page of the jobs whose latest finished attempt failed, the newest failure first, each with
/// the time of that failure.
///
/// # Errors
/// [`Error::Database`].
pub async fn failed(client: &impl Queryable, filter: &FailedFilter) -> Result<Vec<(DateTime<Utc>, JobRecord)>, Error> {
    store::lookup::list_failed(client.raw(), filter).await
}

/// The database's now, against which the times of a job are to be read.
///
/// # Errors
/// [`Error::Database`].
pub async fn now(client: &impl Queryable) -> Result<DateTime<Utc>, Error> {
    store::enqueue::database_now(client.raw()).await
}
