//! `probe`: sleeps, then fails, panics or succeeds, depending on its args. For smoke tests and drills.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::worker::{Context, JobError};
use postrider_derive::Job;

/// What the probe does.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Job)]
#[job(kind = "probe")]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// How long to sleep first, in ms. Default: 0.
    pub sleep_ms: u64,
    /// Fail with this message. Without [`Probe::fail_times`], every attempt fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
    /// Fail only the first attempts, this many. Without [`Probe::fail`] the message is "probe failed".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_times: Option<u32>,
    /// Panic with this message, unless the attempt fails first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic: Option<String>,
    /// Continue to sleep when the attempt is cancelled. Default: no.
    pub hold: bool,
}

impl Probe {
    /// Returns the error message of this attempt if it fails.
    fn failure(&self, attempt: u32) -> Option<&str> {
        let fails = match self.fail_times {
            Some(times) => attempt <= times,
            None => self.fail.is_some(),
        };
        fails.then(|| self.fail.as_deref().unwrap_or("probe failed"))
    }
}

pub(crate) async fn handle(probe: Probe, cx: Context<App>) -> Result<(), JobError> {
    let sleep = tokio::time::sleep(Duration::from_millis(probe.sleep_ms));
    if probe.hold {
        sleep.await;
    } else {
        tokio::select! {
            () = sleep => {}
            () = cx.cancelled() => return Err(JobError::retry("stopped before its sleep was over")),
        }
    }
    if let Some(message) = probe.failure(cx.attempt()) {
        return Err(JobError::retry(message.to_owned()));
    }
    if let Some(message) = probe.panic {
        panic!("{message}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(args: &str) -> Probe {
        serde_json::from_str(args).unwrap()
    }

    #[test]
    fn it_fails_always_or_the_first_so_many_times() {
        let always = probe(r#"{"fail": "no"}"#);
        assert_eq!([always.failure(1), always.failure(9)], [Some("no"), Some("no")]);
        let twice = probe(r#"{"fail": "no", "fail_times": 2}"#);
        assert_eq!([twice.failure(2), twice.failure(3)], [Some("no"), None]);
        assert_eq!(probe(r#"{"fail_times": 1}"#).failure(1), Some("probe failed"));
        assert_eq!(probe("{}").failure(1), None);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let problem = serde_json::from_str::<Probe>(r#"{"sleep": 5}"#).unwrap_err().to_string();
        assert!(problem.contains("sleep"), "{problem}");
    }
}
