//! A time limit for statements, and what it leaves behind in the pool.
//!
//! Through a transaction pooler there is no `SET statement_timeout`, so the limit is on our
//! side: [`within`] stops waiting. The server does not stop, and a connection on which a
//! statement still runs goes back to the pool like any other. So after a statement was given
//! up, each pooled connection is looked at once before it is handed out again.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Hook, HookError};
use tokio::time::timeout;

use crate::Error;

/// How long a connection may take to show that it is free.
const LOOK: Duration = Duration::from_secs(1);

/// When a statement was last given up, in this process. Not for each pool, because [`within`]
/// knows no pool, and a needless look is one round trip.
static LATEST_GIVEN_UP: Mutex<Option<Instant>> = Mutex::new(None);

/// Waits for `statement` at most `limit`, then gives it up with [`Error::TimedOut`].
///
/// A connection that belongs to the caller must not be used again after that: drop it.
pub(crate) async fn within<T>(limit: Duration, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(limit, statement).await.unwrap_or_else(|_| {
        given_up();
        Err(Error::TimedOut(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
    })
}

/// Remembers that some pooled connection may still be busy.
fn given_up() {
    *LATEST_GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Sorts out connections that are still busy with a statement given up.
pub(super) fn look_at_suspects() -> Hook {
    Hook::async_fn(|client, metrics| {
        let handed_out = metrics.recycled.unwrap_or(metrics.created);
        Box::pin(async move {
            let given_up = *LATEST_GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
            if given_up.is_none_or(|given_up| given_up < handed_out) {
                return Ok(());
            }
            match timeout(LOOK, client.batch_execute("")).await {
                Ok(result) => result.map_err(HookError::Backend),
                Err(_) => Err(HookError::message("still busy with a statement that was given up")),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Database;

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
        assert!(matches!(result, Err(Error::TimedOut(50))), "{result:?}");

        let client =
            timeout(Duration::from_secs(5), database.client()).await.expect("no wait for the sleeper").unwrap();
        assert_ne!(backend(&client).await, busy);
        client.execute("SELECT pg_terminate_backend($1)", &[&busy]).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_was_free_again_is_kept() {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        let database = Database::from_url(&url).unwrap().with_pool_size(1);
        let before = backend(&database.client().await.unwrap()).await;
        given_up();
        assert_eq!(backend(&database.client().await.unwrap()).await, before);
    }
}
