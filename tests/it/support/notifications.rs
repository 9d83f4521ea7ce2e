//! A connection that receives the notifications of workers and holds the idle locks, so that every enqueue sends one.

use std::collections::VecDeque;

use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::database::TestDatabase;
use super::wait::{PATIENCE, within};

/// A raw LISTEN connection.
pub struct NotificationProbe {
    client: Client,
    heard: mpsc::UnboundedReceiver<(String, String)>,
    /// Those of the channel that was not asked for yet.
    kept: VecDeque<(String, String)>,
    marks: u32,
}

impl NotificationProbe {
    /// Listens from now on and holds the idle locks of all queues, so that every enqueue sends a notification.
    pub async fn new(db: &TestDatabase) -> Self {
        let probe = Self::beside_others(db).await;
        let every_key = "SELECT pg_try_advisory_lock(hashtext('postrider'), key) FROM generate_series(0, 127) AS key";
        for row in probe.client.query(every_key, &[]).await.expect("the idle locks") {
            assert!(row.get::<_, bool>(0), "nobody else holds an idle lock yet");
        }
        probe
    }

    /// Listens from now on, and receives what is sent only while another session holds the idle lock.
    pub async fn beside_others(db: &TestDatabase) -> Self {
        let (client, mut connection) = tokio_postgres::connect(&db.url, NoTls).await.expect("connect");
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(note) = message {
                    let _ = sender.send((note.channel().to_owned(), note.payload().to_owned()));
                }
            }
        });
        client
            .batch_execute("LISTEN postrider; LISTEN \"postrider.finished\"; LISTEN test_mark")
            .await
            .expect("LISTEN");
        Self { client, heard, kept: VecDeque::new(), marks: 0 }
    }

    /// The ids of awaited jobs that were finished by transactions that have committed before this call, as
    /// [`Self::all`].
    pub async fn finished(&mut self) -> Vec<String> {
        self.heard_on("postrider.finished").await
    }

    /// Everything announced by transactions that have committed before this call. Notifications
    /// arrive in the order of the commits, so a mark of our own comes after all of them: silence
    /// is proved without waiting for a time.
    pub async fn all(&mut self) -> Vec<String> {
        self.heard_on("postrider").await
    }

    async fn heard_on(&mut self, wanted: &str) -> Vec<String> {
        self.marks += 1;
        let mark = self.marks.to_string();
        self.client.execute("SELECT pg_notify('test_mark', $1)", &[&mark]).await.expect("NOTIFY");
        loop {
            let heard = within("the mark is heard", PATIENCE, self.heard.recv()).await.expect("the connection lives");
            if heard == ("test_mark".to_owned(), mark.clone()) {
                break;
            }
            self.kept.push_back(heard);
        }
        let (of_channel, others): (VecDeque<_>, VecDeque<_>) =
            self.kept.drain(..).partition(|(channel, _)| channel == wanted);
        self.kept = others;
        of_channel.into_iter().map(|(_, payload)| payload).collect()
    }
}
