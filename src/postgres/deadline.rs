//! Time limits of statements, and the cleanup of connections that are still busy after a timeout.
//!
//! For statements outside of a [`LimitedTransaction`](super::LimitedTransaction). [`within`] stops waiting, but the
//! server continues. The same happens if a future is dropped in the middle of a statement (a handler was cut off). The
//! busy connection returns to the pool like any other. So after such an event each pooled connection is checked once
//! before its next use. If it is busy, its statement is cancelled and the connection is dropped.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Hook, HookError, Object, ObjectId};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_postgres::{CancelToken, Client};

use super::dial::Target;
use crate::error::Error;

/// The time limit of the check whether a connection is free.
const CHECK_WITHIN: Duration = Duration::from_millis(300);
/// The maximum number of connections whose last check is remembered.
const MAX_SEEN: usize = 1_000;
/// The time limit of a cancel request.
pub(super) const CANCEL_WITHIN: Duration = Duration::from_secs(5);

/// When this process last abandoned a statement. Not per pool: [`within`] does not know the pool, and a needless check
/// costs one round trip.
static LATEST_ABANDONED: Mutex<Option<Instant>> = Mutex::new(None);

/// Waits for `statement` up to `limit`, then returns [`Error::TimedOut`].
///
/// After that, do not reuse your connection: drop it.
pub(crate) async fn within<T>(limit: Duration, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let too_late = |_| Err(Error::TimedOut(limit));
    timeout(limit, finished(statement)).await.unwrap_or_else(too_late)
}

/// Runs `work`, which uses the pool. If it is dropped, perhaps in the middle of a statement, pooled connections are
/// checked.
pub(crate) async fn finished<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    // Dropped before the work, so that the pool does not reuse its connection unchecked.
    let mut watch = Watch { is_over: false };
    let output = work.as_mut().await;
    watch.is_over = true;
    output
}

/// On drop, records that a pooled connection may be busy, unless the work has ended.
struct Watch {
    is_over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_over {
            abandoned();
        }
    }
}

/// Records that a pooled connection may be busy.
fn abandoned() {
    *LATEST_ABANDONED.lock() = Some(Instant::now());
}

/// Checks a connection before its next use, and drops it if it is busy.
pub(super) fn check_suspects(target: Arc<Target>) -> Hook {
    Hook::async_fn(move |client, metrics| {
        let handed_out = metrics.recycled.unwrap_or(metrics.created);
        let target = Arc::clone(&target);
        Box::pin(async move {
            if !was_abandoned_since(handed_out) || is_free(client, target).await {
                return Ok(());
            }
            Err(HookError::message("broken, or still busy with an abandoned statement"))
        })
    })
}

/// When the connections of a pool without our hook were last checked.
#[derive(Default)]
pub(super) struct SeenFree(Mutex<HashMap<ObjectId, Instant>>);

impl SeenFree {
    /// Checks a connection that the pool has just given. If it is not free, close it.
    pub async fn is_free(&self, object: &Object, target: &Arc<Target>) -> bool {
        let id = Object::id(object);
        let seen = self.0.lock().get(&id).copied();
        if !was_abandoned_since(seen.unwrap_or(Object::metrics(object).created)) {
            return true;
        }
        let now = Instant::now();
        if !is_free(object, Arc::clone(target)).await {
            return false;
        }
        let mut seen = self.0.lock();
        if seen.len() >= MAX_SEEN {
            // The pool does not tell which ones it has closed. Those that it still has are only checked once more.
            seen.clear();
        }
        seen.insert(id, now);
        true
    }
}

fn was_abandoned_since(time: Instant) -> bool {
    LATEST_ABANDONED.lock().is_some_and(|abandoned| abandoned >= time)
}

/// Whether a connection answers. If it is busy, its statement is cancelled.
async fn is_free(client: &Client, target: Arc<Target>) -> bool {
    if let Ok(result) = timeout(CHECK_WITHIN, client.batch_execute("")).await {
        return result.is_ok();
    }
    tokio::spawn(cancel(target, client.cancel_token()));
    false
}

/// Cancels an abandoned statement. Returns whether the server has handled the request.
pub(super) async fn cancel(target: Arc<Target>, token: CancelToken) -> bool {
    match timeout(CANCEL_WITHIN, super::cancel::cancel(target, token)).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::debug!(%error, "an abandoned statement could not be cancelled"),
        Err(_) => tracing::debug!("an abandoned statement could not be cancelled in time"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Database;

    #[tokio::test]
    async fn a_statement_whose_future_is_dropped_is_cancelled_and_its_connection_left() {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        let database = Database::from_url(&url).unwrap().with_pool_size(1);
        let others = Database::from_url(&url).unwrap();
        // Other runs of this test may use the same server.
        let sleep = format!("SELECT pg_sleep(599) -- {}", uuid::Uuid::now_v7());
        let count = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE state = 'active' AND strpos(query, '{sleep}') > 0 AND pid <> pg_backend_pid()"
        );
        let sleepers =
            async || -> i64 { others.client().await.unwrap().query_typed_one(&count, &[]).await.unwrap().get(0) };
        let mut sleeping = Box::pin(finished(async {
            database.client().await?.batch_execute(&sleep).await?;
            Ok::<_, Error>(())
        }));
        while sleepers().await == 0 {
            let _ = timeout(Duration::from_millis(10), &mut sleeping).await;
        }
        drop(sleeping);
        drop(timeout(Duration::from_mins(1), database.client()).await.expect("no wait for the sleeper").unwrap());
        while sleepers().await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn backend(client: &deadpool_postgres::Object) -> i32 {
        client.query_typed_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn a_connection_still_busy_with_a_statement_given_up_is_not_handed_out_again() {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        let database = Database::from_url(&url).unwrap().with_pool_size(1);
        let busy = backend(&database.client().await.unwrap()).await;
        let result = within(Duration::from_millis(50), async {
            database.client().await?.batch_execute("SELECT pg_sleep(30)").await?;
            Ok(())
        })
        .await;
        assert!(matches!(result, Err(Error::TimedOut(limit)) if limit == Duration::from_millis(50)), "{result:?}");

        let client =
            timeout(Duration::from_secs(5), database.client()).await.expect("no wait for the sleeper").unwrap();
        assert_ne!(backend(&client).await, busy);
    }

    #[tokio::test]
    async fn a_connection_that_was_free_again_is_kept() {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        let database = Database::from_url(&url).unwrap().with_pool_size(1);
        let before = backend(&database.client().await.unwrap()).await;
        abandoned();
        assert_eq!(backend(&database.client().await.unwrap()).await, before);
    }
}
