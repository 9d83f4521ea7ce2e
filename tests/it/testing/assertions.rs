//! Assertions about unfinished jobs.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use postrider::testing::enqueued;
use postrider::{Args, Job, NewJob, Schema, assert_enqueued, enqueue, refute_enqueued};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::support::database::TestDatabase;

mod mail {
    use super::{Deserialize, Job, Serialize};

    /// Its JSON has other names than its fields.
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct SendMail {
        pub send_to: String,
        pub copies: Vec<i64>,
        pub urgent: bool,
    }

    impl Job for SendMail {
        const KIND: &'static str = "send_mail";
        const QUEUE: Option<&'static str> = Some("mail");
    }
}

use mail::SendMail;

/// A job without fields.
#[derive(Debug, Serialize, Deserialize)]
struct Sweep {}

impl Job for Sweep {
    const KIND: &'static str = "sweep";
}

fn to(name: &str, urgent: bool) -> SendMail {
    SendMail { send_to: name.to_owned(), copies: vec![1, 2], urgent }
}

/// The text of a failed assertion.
async fn failure<T>(assertion: impl Future<Output = T>) -> String {
    let Err(panic) = AssertUnwindSafe(assertion).catch_unwind().await else { panic!("it did not fail") };
    panic.downcast_ref::<String>().expect("text").clone()
}

async fn mails(client: &Client) {
    enqueue(client, &to("ada", false)).max_attempts(3).unique_key("ada").await.unwrap();
    enqueue(client, &to("bob", true)).run_in(Duration::from_hours(1)).await.unwrap();
}

#[tokio::test]
async fn a_job_is_found_by_some_or_all_of_its_fields() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    mails(&client).await;
    enqueue(&client, &Sweep {}).await.unwrap();
    let ada = assert_enqueued!(&client, SendMail { send_to: "ada", .. });
    assert_eq!((ada.queue.as_str(), ada.max_attempts, ada.unique_key.as_deref()), ("mail", 3, Some("ada")));
    assert_eq!((ada.job.copies.as_slice(), ada.attempt, ada.priority), ([1, 2].as_slice(), 0, 2));
    let name = "bob".to_owned();
    let bob = assert_enqueued!(&client, mail::SendMail { send_to: name, copies: [1, 2], urgent: true });
    assert!(bob.run_at > ada.run_at + Duration::from_mins(59), "{bob:?}");
    assert_enqueued!(&client, SendMail { .. });
    assert_enqueued!(&client, Sweep {});
    // Variables named like fields, and values that are evaluated once.
    let (urgent, send_to, mut evaluated) = (true, "bob", 0);
    let mut name = |name: &'static str| {
        evaluated += 1;
        name
    };
    assert_enqueued!(&client, SendMail { urgent, send_to: name(send_to), .. });
    refute_enqueued!(&client, SendMail { urgent: !urgent, send_to: name("bob"), .. });
    assert_eq!(evaluated, 2);
    refute_enqueued!(&client, SendMail { send_to: "ada", urgent: true, .. },);
    assert_eq!(enqueued::<SendMail, _>(&client).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_failure_tells_the_near_misses() {
    let db = TestDatabase::new().await;
    let client = db.connect().await;
    let none = failure(async { assert_enqueued!(&client, SendMail { send_to: "eve", .. }) }).await;
    assert_eq!(none, "no unfinished job is SendMail { send_to: \"eve\", .. }\nthere is none of the kind \"send_mail\"");
    mails(&client).await;
    let other = NewJob::new("send_mail", Args::parse(r#"{"secret": 1}"#).unwrap()).unwrap();
    postrider::enqueue::enqueue_job(&client, other).await.unwrap();
    let near = failure(async { assert_enqueued!(&client, SendMail { send_to: "ada", urgent: true, .. }) }).await;
    assert_eq!(near.lines().next(), Some("no unfinished job is SendMail { send_to: \"ada\", urgent: true, .. }"));
    for line in [
        r#"job 1 in queue "mail" differs in urgent: {"copies": [1, 2], "sendTo": "ada", "urgent": false}"#,
        r#"job 2 in queue "mail" differs in send_to: {"copies""#,
        r#"job 3 in queue "default" does not decode: missing field"#,
    ] {
        assert!(near.contains(line), "{near}");
    }
    let found = failure(async { refute_enqueued!(&client, SendMail { urgent: false, .. }) }).await;
    assert!(
        found.starts_with("an unfinished job is SendMail { urgent: false, .. }, or may be\n  job 1 in queue"),
        "{found}"
    );
    assert!(!found.contains("job 2") && found.contains("job 3 in queue \"default\" does not decode"), "{found}");
    assert!(enqueued::<SendMail, _>(&client).await.is_err());
}

#[tokio::test]
async fn jobs_of_a_transaction_are_seen_in_it_and_finished_ones_nowhere() {
    let db = TestDatabase::new().await;
    let (mut client, looker) = (db.connect().await, db.connect().await);
    let tx = client.transaction().await.unwrap();
    let id = enqueue(&tx, &to("ada", false)).await.unwrap().id;
    assert_enqueued!(&tx, SendMail { send_to: "ada", .. });
    refute_enqueued!(&looker, SendMail { .. });
    tx.commit().await.unwrap();
    assert_enqueued!(&db.database.client().await.unwrap(), SendMail { .. });
    postrider::admin::cancel(&looker, id).await.unwrap();
    refute_enqueued!(&looker, SendMail { .. });

    let second = Schema::new("second").unwrap();
    db.another_pool().in_schema(second.clone()).migrate(postrider::schema::MigrationSet::Queue).await.unwrap();
    enqueue(second.on(&looker), &to("ada", false)).await.unwrap();
    assert_enqueued!(second.on(&looker), SendMail { .. });
    refute_enqueued!(&looker, SendMail { .. });
    let missing = Schema::new("missing").unwrap();
    let unread = failure(async { refute_enqueued!(missing.on(&looker), SendMail { .. }) }).await;
    assert!(unread.starts_with("the jobs could not be read: "), "{unread}");
}
