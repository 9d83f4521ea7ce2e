//! One job, and pages of jobs.
//!
//! Promise: a page continues after the last job of the previous page, so jobs that were added meanwhile do not shift
//! it. Read only.

use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::job::{FailedFilter, JobId, JobRecord, ListFilter};
use crate::postgres::Queryable;
use crate::store;

/// One job, or None.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// if let Some(job) = postrider::admin::find(&client, 7).await? {
///     println!("{} {}: {:?}", job.kind, job.state, job.error);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn find(client: &impl Queryable, id: JobId) -> Result<Option<JobRecord>, Error> {
    store::read::find_job(client, id).await
}

/// A page of jobs, the highest id first.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use postrider::admin::{self, ListFilter};
///
/// let mut filter = ListFilter { kind: Some("send_mail".into()), ..ListFilter::default() };
/// let page = admin::list(&client, &filter).await?;
/// filter.after = page.last().map(|job| job.id);
/// let next_page = admin::list(&client, &filter).await?;
/// # let _ = next_page;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn list(client: &impl Queryable, filter: &ListFilter) -> Result<Vec<JobRecord>, Error> {
    store::read::list_jobs(client, filter).await
}

/// A page of the jobs whose latest finished attempt failed, the newest failure first, each with the time of the
/// failure.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// use std::time::Duration;
/// use postrider::admin::{self, FailedFilter};
///
/// let since = Some(Duration::from_secs(3600));
/// for (failed_at, job) in admin::failed(&client, &FailedFilter { since, ..FailedFilter::default() }).await? {
///     println!("{failed_at} {}: {:?}", job.kind, job.error);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn failed(client: &impl Queryable, filter: &FailedFilter) -> Result<Vec<(DateTime<Utc>, JobRecord)>, Error> {
    store::read::list_failed(client, filter).await
}

/// The database's current time, for comparison with the times of jobs.
///
/// ```no_run
/// # async fn example(client: tokio_postgres::Client) -> Result<(), postrider::Error> {
/// let age = postrider::admin::now(&client).await?
///     - postrider::admin::find(&client, 7).await?.map_or_else(chrono::Utc::now, |job| job.created_at);
/// println!("enqueued {} s ago", age.num_seconds());
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Database`].
pub async fn now(client: &impl Queryable) -> Result<DateTime<Utc>, Error> {
    store::enqueue::database_now(client).await
}
