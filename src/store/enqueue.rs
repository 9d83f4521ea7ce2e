//! The statements that enqueue.

use std::pin::pin;

use chrono::{DateTime, Utc};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::job::Args;
use crate::job::JobId;
use crate::job::NewJob;
use crate::postgres::{Queryable, Statements};
use crate::sql::sql;

pub(crate) async fn enqueue(client: &impl Queryable, job: &NewJob) -> Result<JobId, Error> {
    let row = Statements::on(client)
        .query_typed_one(
            sql!("enqueue/enqueue"),
            &[
                (&job.kind, Type::TEXT),
                (&job.args, Type::JSONB),
                (&job.queue, Type::TEXT),
                (&i32::from(job.priority.number()), Type::INT4),
                (&job.due.at(), Type::TIMESTAMPTZ),
                (&job.due.delay_seconds(), Type::FLOAT8),
                (&i32::from(job.stored_max_attempts()), Type::INT4),
                (&job.unique_key, Type::TEXT),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

pub(crate) async fn enqueue_many(client: &impl Queryable, jobs: &[NewJob]) -> Result<Vec<JobId>, Error> {
    let kinds: Vec<&str> = jobs.iter().map(|job| job.kind.as_str()).collect();
    let args: Vec<&Args> = jobs.iter().map(|job| &job.args).collect();
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let priorities: Vec<i32> = jobs.iter().map(|job| i32::from(job.priority.number())).collect();
    let run_ats: Vec<Option<DateTime<Utc>>> = jobs.iter().map(|job| job.due.at()).collect();
    let delays: Vec<f64> = jobs.iter().map(|job| job.due.delay_seconds()).collect();
    let delays = delays.iter().any(|delay| *delay > 0.0).then_some(delays);
    let max_attempts: Vec<i32> = jobs.iter().map(|job| job.stored_max_attempts().into()).collect();
    let has_key = jobs.iter().any(|job| job.unique_key.is_some());
    let unique_keys: Option<Vec<Option<&str>>> =
        has_key.then(|| jobs.iter().map(|job| job.unique_key.as_deref()).collect());
    let row = Statements::on(client)
        .query_typed_one(
            sql!("enqueue/enqueue_many"),
            &[
                (&kinds, Type::TEXT_ARRAY),
                (&args, Type::JSONB_ARRAY),
                (&queues, Type::TEXT_ARRAY),
                (&priorities, Type::INT4_ARRAY),
                (&run_ats, Type::TIMESTAMPTZ_ARRAY),
                (&delays, Type::FLOAT8_ARRAY),
                (&max_attempts, Type::INT4_ARRAY),
                (&unique_keys, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
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
