//! Jobs over HTTP: enqueue, show, list, retry, cancel.
//!
//! Promises: when `POST /jobs` answers, the job and its notification are committed; bad input is refused before any
//! SQL is sent; a page is limited in rows and bytes; a wait for a job holds no database connection.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Web;
use super::answer::{created, found, ok, text_of};
use super::body::JsonBody;
use super::fields::{Fields, missing};
use super::idempotency_key::IdempotencyKey;
use super::observe::Waited;
use super::parameters::{PathParameters, QueryParameters};
use super::problem::Problem;
use super::router::{REQUEST_TIMEOUT, done_within};
use super::write_permits::begin;
use crate::admin::{self, ListFilter};
use crate::enqueue::enqueue_job;
use crate::error::Error;
use crate::job::{Args, Enqueued, JobId, JobRecord, NewJob, Priority, State as JobState};
use crate::job::{check_kind, check_queue};
use crate::postgres::Queryable;

const FIELDS: &[&str] = &["kind", "args", "queue", "priority", "run_at", "max_attempts", "unique_key"];
const FILTERS: &[&str] = &["state", "kind", "queue", "limit", "after"];

/// The most jobs on a page.
const MAX_PAGE: u32 = 1000;
/// The longest wait for a job to finish: proxies end a request that is silent for a minute.
const MAX_WAIT: Duration = Duration::from_secs(55);
/// A page ends once its args and errors have this many bytes: one job may have 1 MiB.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How many jobs are read at once, which limits by how much a page may be too large.
const READ_AT_ONCE: u32 = 25;

pub(super) async fn create(
    State(web): State<Arc<Web>>,
    key: Option<IdempotencyKey>,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let job = new_job(&body)?;
    let only_inserts = key.is_none() && job.unique_key.is_none();
    let _permit =
        if only_inserts { web.write_permits.to_insert().await? } else { web.write_permits.to_change().await? };
    let tx = begin(&web.database).await?;
    let (enqueued, response) = if let Some(key) = key {
        let answer = key.once(&tx, text(&body)?, job).await?;
        tx.commit().await?;
        answer
    } else {
        let enqueued = enqueue_job(&tx, job).await?;
        (enqueued, json(enqueued.id, tx.commit_with(admin::find(&tx, enqueued.id)).await?)?)
    };
    let location = format!("/jobs/{}", enqueued.id);
    if enqueued.is_inserted() { created(&location, response) } else { found(&location, response) }
}

/// Enqueues the job and reads it back as JSON.
pub(super) async fn add(client: &impl Queryable, job: NewJob) -> Result<(Enqueued, String), Problem> {
    let enqueued = enqueue_job(client, job).await?;
    Ok((enqueued, json(enqueued.id, admin::find(client, enqueued.id).await?)?))
}

fn json(id: JobId, found: Option<JobRecord>) -> Result<String, Problem> {
    text_of(&found.ok_or(Error::NotFound(id))?)
}

fn new_job(body: &[u8]) -> Result<NewJob, Problem> {
    let mut fields = Fields::parse(body, FIELDS)?;
    let kind = fields.text("kind")?.ok_or_else(|| missing("kind"))?;
    // As text: a number in it keeps all digits that the client sent.
    let args = match fields.raw("args") {
        Some(args) => Args::parse(args.get())?,
        None => Args::default(),
    };
    let mut job = NewJob::new(&kind, args)?;
    if let Some(queue) = fields.text("queue")? {
        job = job.queue(&queue)?;
    }
    if let Some(priority) = fields.integer("priority")? {
        job = job.priority(Priority::try_from(priority)?);
    }
    if let Some(text) = fields.text("run_at")? {
        let run_at = DateTime::parse_from_rfc3339(&text).map_err(|error| {
            Problem::invalid("run_at", format!("is {text:?}, no time such as 2030-01-31T12:00:00Z: {error}"))
        })?;
        job = job.run_at(run_at.with_timezone(&Utc))?;
    }
    if let Some(attempts) = fields.integer("max_attempts")? {
        // A number that does not fit is out of range, too, and refused like the nearest one.
        let attempts = u32::try_from(attempts).unwrap_or(if attempts < 0 { 0 } else { u32::MAX });
        job = job.max_attempts(attempts)?;
    }
    if let Some(key) = fields.text("unique_key")? {
        job = job.unique_key(&key)?;
    }
    Ok(job)
}

fn text(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8 from byte {}", error.valid_up_to())))
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    path: PathParameters,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let id = job_id(path)?;
    let mut query = QueryParameters::parse(query.as_deref(), &["wait"])?;
    let Some(wait) = query.text("wait").map(|text| wait_limit(&text)).transpose()? else {
        return done_within(REQUEST_TIMEOUT, read(&web, id)).await?;
    };
    let answered = done_within(wait + REQUEST_TIMEOUT, finished(&web, id, wait)).await.flatten();
    let mut answer = answered.unwrap_or_else(IntoResponse::into_response);
    answer.extensions_mut().insert(Waited);
    Ok(answer)
}

async fn read(web: &Web, id: JobId) -> Result<Response, Problem> {
    let tx = begin(&web.database).await?;
    let job = admin::find(&tx, id).await?.ok_or(Error::NotFound(id))?;
    ok(&job)
}

/// The job once it is finished, or as it is after this time. A shutdown ends the wait early: the client sees that the job
/// is unfinished, and asks the next process.
async fn finished(web: &Web, id: JobId, wait: Duration) -> Result<Response, Problem> {
    let finished = tokio::select! {
        finished = web.waiter.wait(id, wait) => finished?,
        () = web.shutdown.begun() => None,
    };
    match finished {
        Some(job) => ok(&job),
        None => read(web, id).await,
    }
}

pub(super) async fn retry(State(web): State<Arc<Web>>, path: PathParameters) -> Result<Response, Problem> {
    let id = job_id(path)?;
    let _permit = web.write_permits.to_change().await?;
    let tx = begin(&web.database).await?;
    let job = admin::retry(&tx, id).await?;
    tx.commit().await?;
    ok(&job)
}

pub(super) async fn cancel(State(web): State<Arc<Web>>, path: PathParameters) -> Result<Response, Problem> {
    let id = job_id(path)?;
    let _permit = web.write_permits.to_change().await?;
    let tx = begin(&web.database).await?;
    let job = admin::cancel(&tx, id).await?;
    tx.commit().await?;
    ok(&job)
}

fn wait_limit(text: &str) -> Result<Duration, Problem> {
    humantime::parse_duration(text).ok().filter(|limit| *limit <= MAX_WAIT).ok_or_else(|| {
        Problem::invalid(
            "wait",
            format!("is {text:?}, not a duration of at most {} s, such as 30s", MAX_WAIT.as_secs()),
        )
    })
}

fn job_id(mut path: PathParameters) -> Result<JobId, Problem> {
    path.parsed("id", "the number of a job")
}

/// One page, the newest jobs first, and the cursor of the next page.
#[derive(Serialize)]
struct Page {
    jobs: Vec<JobRecord>,
    next: Option<String>,
}

pub(super) async fn list(State(web): State<Arc<Web>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter = filter(query.as_deref())?;
    let tx = begin(&web.database).await?;
    ok(&page(&tx, filter).await?)
}

fn filter(query: Option<&str>) -> Result<ListFilter, Problem> {
    let mut query = QueryParameters::parse(query, FILTERS)?;
    let state = query.text("state").map(|state| state.parse::<JobState>()).transpose()?;
    let (kind, queue) = (query.text("kind"), query.text("queue"));
    kind.as_deref().map(check_kind).transpose()?;
    queue.as_deref().map(check_queue).transpose()?;
    let after = query.parsed("after", "the \"next\" of a page")?;
    let limit = query.parsed("limit", "a number")?.unwrap_or(ListFilter::default().limit);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid("limit", format!("is {limit}, not 1 to {MAX_PAGE}")));
    }
    Ok(ListFilter { state, kind, queue, after, limit })
}

/// Reads in batches until the page is full, in rows or bytes. A page that ended early because of its bytes has a
/// `next`, too.
async fn page(client: &impl Queryable, filter: ListFilter) -> Result<Page, Problem> {
    let wanted = filter.limit as usize;
    let mut batch = filter;
    let (mut jobs, mut bytes) = (Vec::<JobRecord>::new(), 0);
    loop {
        // One more than wanted, to find out whether there is a next page.
        let missing = u32::try_from(wanted + 1 - jobs.len()).unwrap_or(READ_AT_ONCE);
        batch.limit = missing.min(READ_AT_ONCE);
        let read = admin::list(client, &batch).await?;
        let exhausted = read.len() < batch.limit as usize;
        for job in read {
            if jobs.len() == wanted || bytes >= PAGE_BYTES {
                let next = jobs.last().map(|last| last.id.to_string());
                return Ok(Page { jobs, next });
            }
            bytes += job.json_bytes();
            jobs.push(job);
        }
        if exhausted {
            return Ok(Page { jobs, next: None });
        }
        batch.after = jobs.last().map(|last| last.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_with_every_field_becomes_a_job() -> Result<(), Problem> {
        let job = new_job(
            br#"{"kind": "k", "args": [1, null], "queue": "q", "priority": 4,
                 "run_at": "2030-01-31T12:00:00+02:00", "max_attempts": 3, "unique_key": "u"}"#,
        )?;
        assert_eq!((job.kind.as_str(), job.queue.as_str(), job.args.as_str()), ("k", "q", "[1, null]"));
        assert_eq!((job.priority, job.unique_key.as_deref()), (Priority::Idle, Some("u")));
        Ok(())
    }

    #[test]
    fn args_may_be_null_and_other_nulls_are_defaults() -> Result<(), Problem> {
        let job = new_job(br#"{"kind": "k", "args": null, "queue": null, "priority": null, "run_at": null}"#)?;
        assert_eq!((job.args.as_str(), job.queue.as_str()), ("null", "default"));
        Ok(())
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_what_is_accepted_is_a_good_job(
            field in prop::sample::select(FIELDS),
            value in r#"-?[0-9]{0,20}(\.[0-9]{1,3})?(e[0-9]{1,3})?|"[^"\\]{0,40}"|"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](Z|[+-][0-2][0-9]:[0-5][0-9])"|\[{0,200}\]{0,200}|null|\PC{0,30}"#,
        ) {
            let body = if field == "kind" { format!(r#"{{"kind": {value}}}"#) } else { format!(r#"{{"kind": "k", "{field}": {value}}}"#) };
            if let Ok(job) = new_job(body.as_bytes()) {
                prop_assert!(check_kind(&job.kind).is_ok() && check_queue(&job.queue).is_ok());
                prop_assert!(Args::parse(job.args.as_str()).is_ok());
            }
        }

        #[test]
        fn no_filter_makes_it_panic(
            name in prop::sample::select(FILTERS),
            value in "[0-9a-z%+-]{0,30}|\\PC{0,30}",
        ) {
            if let Ok(read) = filter(Some(&format!("{name}={value}"))) {
                prop_assert!((1..=MAX_PAGE).contains(&read.limit));
            }
        }
    }
}
