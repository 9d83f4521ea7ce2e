//! The filters of lists.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{JobId, State, StoredTime, Time};
use crate::error::Error;

/// The filter of [`list`](crate::admin::list). Default: the newest 100 jobs of any kind.
///
/// ```
/// use postrider::State;
/// use postrider::admin::ListFilter;
///
/// let filter = ListFilter { state: Some(State::Running), limit: 20, ..ListFilter::default() };
/// # let _ = filter;
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListFilter {
    /// Only jobs in this state.
    pub state: Option<State>,
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs of this queue.
    pub queue: Option<String>,
    /// Only jobs with a lower id: the last id of the previous page.
    pub after: Option<JobId>,
    /// The maximum number of jobs, each with up to 1 MiB of args. Default: 100.
    pub limit: u32,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self { state: None, kind: None, queue: None, after: None, limit: 100 }
    }
}

/// The filter of [`failed`](crate::admin::failed). Default: the newest 100 failures.
///
/// ```
/// use std::time::Duration;
/// use postrider::admin::FailedFilter;
///
/// let filter = FailedFilter { since: Some(Duration::from_secs(3600)), ..FailedFilter::default() };
/// # let _ = filter;
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FailedFilter {
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs of this queue.
    pub queue: Option<String>,
    /// Only failures that are at most this old, by the database's clock. Default: of any age.
    pub since: Option<Duration>,
    /// Only [`State::Retryable`] (waiting, due or running again) or only [`State::Discarded`].
    pub state: Option<State>,
    /// Only failures after this one in the list: the time and id of the last one of the previous page. The time is in
    /// the years 1 to 9999.
    pub after: Option<(Time, JobId)>,
    /// The maximum number of jobs, each with up to 1 MiB of args. Default: 100.
    pub limit: u32,
}

impl Default for FailedFilter {
    fn default() -> Self {
        Self { kind: None, queue: None, since: None, state: None, after: None, limit: 100 }
    }
}

impl FailedFilter {
    /// The time and id of `after`, if the database can have such a time.
    pub(crate) fn checked_after(&self) -> Result<Option<(DateTime<Utc>, JobId)>, Error> {
        let Some((time, id)) = self.after else { return Ok(None) };
        match time.to_utc().filter(StoredTime::may_be) {
            Some(utc) => Ok(Some((utc, id))),
            None => Err(Error::invalid("after", format!("is {time}, not in the years 1 to 9999"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_page_after_a_time_that_no_job_has_is_refused() {
        let after = |time: Time| FailedFilter { after: Some((time, 1)), ..FailedFilter::default() }.checked_after();
        let now = DateTime::<Utc>::from(SystemTime::now());
        assert_eq!(after(now.into()).unwrap(), Some((now, 1)));
        let far = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 366 * 10_000);
        for bad in [Time::from(far), DateTime::<Utc>::MAX_UTC.into(), DateTime::<Utc>::MIN_UTC.into()] {
            assert!(matches!(after(bad), Err(Error::Invalid { field: "after", .. })), "{bad}");
        }
    }
}
