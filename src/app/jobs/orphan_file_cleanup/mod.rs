//! `orphan_file_cleanup`: deletes the objects and rows of files without a tablo.
//!
//! Promise: whenever a process dies, no row without its object is served, and no object stays forever without a row.
//! No transaction spans the object store.
//!
//! # A file's life
//!
//! ```text
//!            PUT done             tablo deleted, name taken              due
//!  pending ───────────▶ ready ───────────────────────────▶ ready ────────────────▶ deleting ──▶ row gone
//!     │                   ▲                                orphan                     ▲ objects first
//!     │                   └──────── tablo restored ──────────┘                        │
//!     └───────────────────── not finished after an hour ──────────────────────────────┘
//! ```
//!
//! A cleanup does these steps. Each batch of each step is one transaction:
//!
//! 1. raise the generation (below);
//! 2. mark abandoned uploads `deleting`;
//! 3. stamp orphans without a stamp, a page of all files at a time (only the hourly cleanup and
//!    manual ones; a cleanup that a deletion requests skips this step);
//! 4. mark due orphans `deleting`, whole tablos at a time;
//! 5. for each batch of marked rows: claim it, delete its objects, delete its rows.
//!
//! | process dies | what is left | what follows |
//! | --- | --- | --- |
//! | before the deletion of a tablo commits | the tablo with its files | |
//! | after that, before step 4 | stamped rows: not served, restored with their tablo | the job runs again |
//! | after step 4 | marked rows: not served, their tablo cannot be restored | step 5 takes all marked rows |
//! | with a batch claimed | the same | the job's next attempt takes its own claims at once, others after 3 minutes |
//! | with some objects of the batch deleted | marked rows without objects | a missing object counts as deleted |
//! | with all objects of the batch deleted | the same | the same |
//! | with the rows of the batch deleted | nothing of the batch | |
//!
//! Concurrent cleanups share the work: step 5 skips rows that another one has claimed. If a claim expires while its
//! cleanup runs, the objects are deleted twice, which is harmless.
//!
//! # Abandoned uploads
//!
//! A process that dies during a PUT leaves a `pending` row. Its object may exist, not exist, or still arrive. After an
//! hour (uploads take at most 15 minutes) the cleanup deletes the key. The marked row stays for another day. Then the
//! key is deleted again, with the row. See [`upload`](crate::app::files::upload).
//!
//! # Requesting a cleanup
//!
//! A burst of deletions must not enqueue one cleanup each, so they share jobs by a unique key. But a *running* job
//! also has its key, and it may have passed the position of a new orphan. So the key has two parts.
//!
//! - *The second in which the grace ends.* The job is due at the end of that second, when the files of all requests
//!   that share it are due, too. A burst enqueues one job per second, not a thousand.
//! - *The generation*, a number in the database. A transaction that makes an orphan reads it under a share lock,
//!   which it holds until the commit. A cleanup first raises it, and so waits until all holders have committed.
//!   So all requests with the key of this job commit before it reads anything, and later requests get another key.
//!   This does not depend on any clock.
//!
//! The hourly cleanup handles orphans without a request (rows deleted by hand).

mod report;
mod request;
mod sweep;

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use report::{CleanupError, CutShort, Report};
pub(crate) use request::request_cleanup;
pub use sweep::run;

use crate::app::App;
use crate::app::object_store::MAX_DELETE;
use crate::job::JobId;
use crate::worker::{Context, JobError};
use postrider_derive::Job;

/// The longest grace: 365 days.
pub const MAX_GRACE: Duration = Duration::from_hours(365 * 24);

/// The args.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Job)]
#[job(kind = "orphan_file_cleanup")]
#[serde(deny_unknown_fields)]
pub struct OrphanFileCleanup {
    /// Files per batch, 1 to 1000. Default: 1000.
    #[serde(default, deserialize_with = "batch_size", skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u16>,
    /// Skip files that became orphans less than this many seconds ago, at most 365 days. Default: 0. A longer grace
    /// from the deletion of the tablo takes precedence.
    #[serde(default, deserialize_with = "grace_seconds", skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
    /// Handle only orphans with a stamp, without a scan of all files. Default: no. Set by the request of a deletion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stamped_only: bool,
}

/// The parameters of [`run`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The job, which owns the claims of the run.
    pub job_id: JobId,
    /// Files per batch, 1 to 1000.
    pub batch_size: u16,
    /// Skip files that became orphans less than this long ago.
    pub grace: Duration,
    /// Handle only orphans with a stamp, without a scan of all files.
    pub stamped_only: bool,
}

impl Settings {
    /// Reads the parameters from the args and applies the defaults.
    #[must_use]
    pub fn of(job_id: JobId, args: &OrphanFileCleanup) -> Self {
        Self {
            job_id,
            batch_size: args.batch_size.unwrap_or(1000).clamp(1, 1000),
            grace: Duration::from_secs(args.grace_seconds.unwrap_or(0).into()),
            stamped_only: args.stamped_only,
        }
    }
}

pub(crate) async fn handle(args: OrphanFileCleanup, cx: Context<App>) -> Result<(), JobError> {
    let settings = Settings::of(cx.job_id(), &args);
    let report = run(cx.database(), &cx.state().object_store, &settings, || cx.is_cancelled()).await?;
    Ok(report.verdict()?)
}

fn batch_size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u16>, D::Error> {
    in_range("batch_size", value, 1, MAX_DELETE as u64)
}

fn grace_seconds<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u32>, D::Error> {
    in_range("grace_seconds", value, 0, MAX_GRACE.as_secs())
}

fn in_range<'de, D, N>(field: &str, value: D, least: u64, most: u64) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    let given = Option::<u64>::deserialize(value).map_err(|error| D::Error::custom(format!("{field}: {error}")))?;
    given
        .map(|number| {
            let allowed = (least..=most).contains(&number);
            N::try_from(number)
                .ok()
                .filter(|_| allowed)
                .ok_or_else(|| D::Error::custom(format!("{field} is {number}, not {least} to {most}")))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Settings, String> {
        serde_json::from_str(args).map(|args| Settings::of(1, &args)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_is_a_thousand_at_once_and_no_grace() {
        for args in ["{}", r#"{"batch_size": null, "grace_seconds": null}"#] {
            let settings = parse(args).unwrap();
            assert_eq!((settings.batch_size, settings.grace, settings.stamped_only), (1000, Duration::ZERO, false));
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for (args, named) in [
            (r#"{"batch_size": 0}"#, "batch_size is 0, not 1 to 1000"),
            (r#"{"batch_size": 1001}"#, "batch_size is 1001"),
            (r#"{"batch_size": 18446744073709551615}"#, "batch_size is 18446744073709551615"),
            (r#"{"grace_seconds": -1}"#, "grace_seconds"),
            (r#"{"grace_seconds": 31536001}"#, "grace_seconds is 31536001"),
            (r#"{"grace": 1}"#, "grace"),
        ] {
            let problem = parse(args).unwrap_err();
            assert!(problem.contains(named), "{args}: {problem}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_written() {
        assert_eq!(serde_json::to_string(&OrphanFileCleanup::default()).unwrap(), "{}");
    }
}
