//! Receives the notifications of finished jobs, on one dedicated connection.
//!
//! Promise: after each (re)connect, all awaited jobs are asked for, so that none is missed in between. A connection that
//! receives nothing, such as one through a transaction pooler, only delays the waits: the sweep asks for their jobs.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{AsyncMessage, Connection, Socket};

use super::Shared;
use crate::error::{Error, describe};
use crate::postgres::{Reconnect, Stream, within};
use crate::store::wait::{finished_channel, listen_finished};

/// The time limit of LISTEN.
const LISTEN_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn run(shared: Arc<Shared>) {
    let listening = async {
        let mut reconnect = Reconnect::default();
        let mut is_lost = false;
        loop {
            let error = match use_connection(&shared, &mut reconnect, &mut is_lost).await {
                Ok(reason) => reason,
                Err(error) => error.to_string(),
            };
            if !std::mem::replace(&mut is_lost, true) {
                tracing::warn!(reason = error, "cannot listen for finished jobs; asking for them");
            }
            sleep(reconnect.next_delay()).await;
        }
    };
    let _: Option<()> = shared.stop.run_until_cancelled(listening).await;
}

/// Uses one connection until it ends. Returns the reason.
async fn use_connection(shared: &Shared, reconnect: &mut Reconnect, is_lost: &mut bool) -> Result<String, Error> {
    let (client, connection) = shared.database.connect_direct("wait").await?;
    let mut driver = std::pin::pin!(drive(shared, connection));
    let client = shared.database.schema().on(&client);
    tokio::select! {
        reason = &mut driver => return Ok(reason),
        listens = within(LISTEN_WITHIN, listen_finished(&client)) => listens?,
    }
    reconnect.reset();
    if std::mem::take(is_lost) {
        tracing::info!("listening for finished jobs again");
    }
    shared.watched.ask_for_all();
    Ok(driver.await)
}

/// Reads the connection until it ends. Returns the reason.
async fn drive(shared: &Shared, mut connection: Connection<Socket, Stream>) -> String {
    let channel = finished_channel(shared.database.schema());
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(notification))) if notification.channel() == channel => {
                if let Ok(id) = notification.payload().parse() {
                    shared.watched.end(id);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return describe(&error),
            None => return "the server closed the connection".to_owned(),
        }
    }
}
