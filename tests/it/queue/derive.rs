//! `#[derive(Job)]`: each option is a default of the kind.

use std::time::Duration;

use postrider::{Job, NewJob, Priority};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(kind = "plain")]
struct Plain;

fn attempt(attempt: u32) -> Option<Duration> {
    (attempt < 3).then(|| Duration::from_secs(u64::from(attempt)))
}

#[derive(Serialize, Deserialize, Job)]
#[job(kind = "mail/send-1.0", queue = "mail", priority = "low", max_attempts = 5)]
#[job(timeout = "1m 30s 250ms", keep_completed = false, retry_after = attempt)]
struct SendMail {
    to: String,
}

/// Of any payload, with conditions of its own.
#[derive(Serialize, Deserialize, Job)]
#[job(kind = "wrapped")]
#[serde(bound = "")]
struct Wrapped<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    inner: T,
}

#[derive(Serialize, Deserialize, Job)]
#[job(kind = "either")]
enum Either {
    This,
    That(u8),
}

#[test]
fn without_options_a_kind_has_only_its_name() {
    assert_eq!(Plain::KIND, "plain");
    assert_eq!((Plain::QUEUE, Plain::MAX_ATTEMPTS, Plain::TIMEOUT, Plain::KEEP_COMPLETED), (None, None, None, None));
    assert!(Plain::PRIORITY.is_none() && Plain::retry_after(1).is_none());
}

#[test]
fn each_option_is_a_default_of_the_kind() {
    assert_eq!((SendMail::KIND, SendMail::QUEUE), ("mail/send-1.0", Some("mail")));
    assert_eq!(SendMail::PRIORITY, Some(Priority::Low));
    assert_eq!((SendMail::MAX_ATTEMPTS, SendMail::KEEP_COMPLETED), (Some(5), Some(false)));
    assert_eq!(SendMail::TIMEOUT, Some(Duration::from_millis(90_250)));
    assert_eq!(
        [1, 2, 3].map(SendMail::retry_after),
        [Some(Duration::from_secs(1)), Some(Duration::from_secs(2)), None]
    );
    // What the macro accepts, the library accepts.
    NewJob::of(&SendMail { to: "ada".to_owned() }).unwrap();
}

#[test]
fn structs_with_parameters_and_enums_are_jobs_too() {
    assert_eq!(<Wrapped<Vec<u8>>>::KIND, "wrapped");
    NewJob::of(&Wrapped { inner: vec![1_u8] }).unwrap();
    assert_eq!(Either::KIND, "either");
    NewJob::of(&Either::This).unwrap();
    NewJob::of(&Either::That(1)).unwrap();
}
