//! `orphan_file_cleanup`: deletes the objects and rows of files that nobody carries any more.
//!
//! Promise: whatever instant a process dies at, neither is a row without its object served, nor
//! does an object stay for ever without a row. No transaction spans the object store.
//!
//! # A file's life
//!
//! ```text
//!            PUT done             tablo deleted, name taken              due
//!  pending ───────────▶ ready ───────────────────────────▶ ready ────────────────▶ deleting ──▶ row gone
//!     │                   ▲                                orphan                     ▲ objects first
//!     │                   └──────── tablo restored ──────────┘                        │
//!     └───────────────────────── not done after an hour ──────────────────────────────┘
//! ```
//!
//! A cleanup goes through these steps, and each batch of each step commits by itself:
//!
//! 1. raise the generation (below);
//! 2. mark uploads that never ended `deleting`;
//! 3. stamp orphans that nobody stamped, a page of all files at a time (the hourly cleanup and
//!    those asked for by hand; not those that a deletion asks for);
//! 4. mark orphans `deleting` that are due, whole tablos at a time;
//! 5. for batch after batch of marked rows: claim it, delete its objects, delete its rows.
//!
//! | dies | what is left | what follows |
//! | --- | --- | --- |
//! | before the deletion of a tablo commits | the tablo with its files | |
//! | after that, before step 4 | stamped rows: not served, brought back with their tablo | the job runs again |
//! | after step 4 | marked rows: not served, their tablo refused to come back | step 5 takes whatever is marked |
//! | with a batch claimed | the same | the job's next attempt takes its own claims at once; others after 3 minutes |
//! | with some of its objects gone | rows without objects, marked | an object that is not there counts as deleted |
//! | with its objects gone | the same | the same |
//! | with its rows gone | nothing of it | |
//!
//! Two cleanups at once share the work: step 5 skips what another has claimed. Should a claim run
//! out under a live cleanup, the objects are deleted twice, which is as good as once.
//!
//! # Uploads that never ended
//!
//! A process that dies with a PUT under way leaves a `pending` row and an object that is there, or
//! not, or is still to land. After an hour (uploads take at most 15 minutes) the key is deleted,
//! and the row stays, marked, for another day; then the key is deleted once more, and the row with
//! it. See [`upload`](crate::app::files::upload).
//!
//! # Asking for a cleanup
//!
//! A burst of deletions must not enqueue a cleanup each, so they share jobs by a unique key. But
//! a key is also held by a *running* job, and a cleanup under way may have passed the place where
//! a new orphan belongs. So the key is made of two parts.
//!
//! - *The second in which the grace ends.* The job is due at the end of that second, when the
//!   files of all who share it are due too. A burst makes one job a second, not a thousand.
//! - *The generation*, a number in the database. Who makes an orphan reads it under a share lock
//!   and holds the lock until the commit; a cleanup raises it before it looks at anything, and for
//!   that waits until all the holders have committed. Hence whoever was given the key of this job
//!   has committed before it looks, and whoever comes later is given another key. No clock is
//!   part of this argument.
//!
//! Orphans without a request (rows deleted by hand) are the hourly cleanup's.

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
use crate::{Context, Job, JobError};

/// The longest grace: 365 days.
pub const MAX_GRACE: Duration = Duration::from_hours(365 * 24);

/// How to clean.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrphanFileCleanup {
    /// How many files to handle at once, 1 to 1000. Default: 1000.
    #[serde(default, deserialize_with = "batch_size", skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u16>,
    /// Leave files alone that became orphans less than so many seconds ago, at most 365 days.
    /// Default: 0. A longer grace that was given when the tablo was deleted holds in any case.
    #[serde(default, deserialize_with = "grace_seconds", skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
    /// Only orphans that are stamped, without a walk over all files. Default: no. Set by those who
    /// have just made an orphan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stamped_only: bool,
}

impl Job for OrphanFileCleanup {
    const KIND: &'static str = "orphan_file_cleanup";
}

/// What [`run`] is to do.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The job that it runs for: the owner of its claims.
    pub job_id: JobId,
    /// How many files to handle at once, 1 to 1000.
    pub batch_size: u16,
    /// Leave files alone that became orphans more recently.
    pub grace: Duration,
    /// Without a walk over all files.
    pub stamped_only: bool,
}

impl Settings {
    /// What the job says, with the defaults.
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
