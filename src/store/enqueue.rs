//! The statements that enqueue.

use std::borrow::Cow;
use std::pin::pin;

use chrono::{DateTime, Utc};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::{EnqueueOutcome, Enqueued, NewJob};
use crate::postgres::{Param, Queryable, Returned, Returns, Statement, Statements, time_text};
use crate::sql::sql;

/// Adds one job. Its finish sends a notification if it `is_awaited`.
pub(crate) fn enqueue(job: &NewJob, is_awaited: bool) -> Statement<'_> {
    let mut params = vec![
        Param::text(&job.kind),
        Param::Json(job.args.as_str().into()),
        Param::text(&job.queue),
        Param::Integer(job.priority.number().into()),
        Param::Time(job.due.at()),
        Param::Float(job.due.delay_seconds()),
        Param::Integer(job.stored_max_attempts().into()),
        Param::Boolean(is_awaited.then_some(true)),
    ];
    match &job.unique_key {
        None => Statement::new(sql!("enqueue/enqueue"), params, Returns::Id),
        Some(key) => {
            params.push(Param::text(key));
            Statement::new(sql!("enqueue/enqueue_unique"), params, Returns::Arrays)
        }
    }
}

/// Adds many jobs. An option that no job has is sent as null.
pub(crate) fn enqueue_many(jobs: &[NewJob]) -> Statement<'_> {
    let delays: Vec<f64> = jobs.iter().map(|job| job.due.delay_seconds()).collect();
    let params = vec![
        texts(jobs, |job| &job.kind),
        texts(jobs, |job| job.args.as_str()),
        texts(jobs, |job| &job.queue),
        Param::Integers(jobs.iter().map(|job| job.priority.number().into()).collect()),
        optional_texts(jobs, |job| job.due.at().map(|time| time_text(time).into())),
        Param::Floats(delays.iter().any(|delay| *delay > 0.0).then_some(delays)),
        Param::Integers(jobs.iter().map(|job| job.stored_max_attempts().into()).collect()),
        optional_texts(jobs, |job| job.unique_key.as_deref().map(Cow::Borrowed)),
    ];
    Statement::new(sql!("enqueue/enqueue_many"), params, Returns::Arrays)
}

/// A text of each job.
fn texts<'j>(jobs: &'j [NewJob], text: impl Fn(&'j NewJob) -> &'j str) -> Param<'j> {
    Param::Texts(Some(jobs.iter().map(|job| Cow::Borrowed(text(job))).collect()))
}

/// A text of each job, empty for those that have none, or null if no job has one. Not each driver can send an array with
/// nulls in it.
fn optional_texts<'j>(jobs: &'j [NewJob], text: impl Fn(&'j NewJob) -> Option<Cow<'j, str>>) -> Param<'j> {
    let texts: Vec<_> = jobs.iter().map(|job| text(job).unwrap_or_default()).collect();
    Param::Texts(texts.iter().any(|text| !text.is_empty()).then_some(texts))
}

/// The result of [`enqueue`].
pub(crate) fn enqueued_one(returned: Returned) -> Result<Enqueued, Error> {
    // The statement returns one id.
    enqueued_many(returned)?.pop().ok_or_else(|| Error::invalid("ids", "is empty"))
}

/// The result of [`enqueue_many`].
pub(crate) fn enqueued_many(returned: Returned) -> Result<Vec<Enqueued>, Error> {
    let Returned { ids, outcomes } = returned;
    match outcomes {
        None => Ok(ids.into_iter().map(|id| Enqueued { id, outcome: EnqueueOutcome::Inserted }).collect()),
        Some(outcomes) => {
            let jobs = ids.into_iter().zip(outcomes);
            jobs.map(|(id, outcome)| Ok(Enqueued { id, outcome: outcome.parse()? })).collect()
        }
    }
}

/// The columns of `copy_jobs`, in order.
const COPY_TYPES: [Type; 6] = [Type::TEXT, Type::JSONB, Type::TEXT, Type::INT2, Type::TIMESTAMPTZ, Type::INT2];

/// Streams jobs into the table. Delays are relative to `now`.
pub(crate) async fn copy_jobs(
    client: &impl Queryable,
    jobs: impl Iterator<Item = Result<NewJob, Error>>,
    now: DateTime<Utc>,
    mut seen: impl FnMut(&NewJob, DateTime<Utc>),
) -> Result<u64, Error> {
    let sink = Statements::on(client).copy_in(sql!("enqueue/copy_jobs")).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &COPY_TYPES));
    for job in jobs {
        let job = job?;
        let run_at = job.due.resolve(now)?;
        writer
            .as_mut()
            .write(&[&job.kind, &job.args, &job.queue, &job.priority.number(), &run_at, &job.stored_max_attempts()])
            .await?;
        seen(&job, run_at);
    }
    Ok(writer.finish().await?)
}

pub(crate) async fn database_now(client: &impl Queryable) -> Result<DateTime<Utc>, Error> {
    Ok(Statements::on(client).query_typed_one(sql!("enqueue/database_now"), &[]).await?.try_get(0)?)
}

pub(crate) async fn announce(client: &impl Queryable, queues: &[&str], run_ats: &[DateTime<Utc>]) -> Result<(), Error> {
    Statements::on(client)
        .query_typed(sql!("enqueue/announce"), &[(&queues, Type::TEXT_ARRAY), (&run_ats, Type::TIMESTAMPTZ_ARRAY)])
        .await?;
    Ok(())
}
