//! The pool: our own, or one that the service has already.
//!
//! Promises: every wait for a connection has a limit, whatever the pool's own limits are; a connection that is busy
//! with an abandoned statement is not handed out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use deadpool_postgres::{TimeoutType, Timeouts};
use tokio::time::timeout;

use super::deadline::{self, SeenFree};
use super::dial::{PoolConnector, Target, no_answer};
use crate::error::{Error, describe};

/// The default size of our own pool.
pub(super) const DEFAULT_SIZE: usize = 10;
/// The largest pool of our own.
const MAX_SIZE: usize = 1_000;
/// The time limit of a wait for a free connection, and of its check.
const WAIT: Duration = Duration::from_secs(5);

/// Where connections for short work come from. Clones share the pool.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool,
    /// The address of our own pool. Of a lent one, the address of dedicated connections.
    target: Arc<Target>,
    /// Of a lent pool only: hooks are set when a pool is built, so it has none of ours.
    seen_free: Option<Arc<SeenFree>>,
}

impl Connections {
    /// A pool of our own.
    pub fn own(target: &Arc<Target>, size: usize) -> Self {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let connector = PoolConnector(Arc::clone(target));
        #[allow(clippy::expect_used, reason = "fails only where a timeout is set and no runtime")]
        let pool = Pool::builder(Manager::from_connect(target.config().clone(), connector, config))
            .max_size(size.clamp(1, MAX_SIZE))
            .runtime(Runtime::Tokio1)
            .pre_recycle(deadline::check_suspects(Arc::clone(target)))
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(target.longest()))
            .recycle_timeout(Some(WAIT))
            .build()
            .expect("a runtime is set");
        Self { pool, target: Arc::clone(target), seen_free: None }
    }

    /// A pool of the service.
    pub fn lent(pool: Pool, target: &Arc<Target>) -> Self {
        Self { pool, target: Arc::clone(target), seen_free: Some(Arc::default()) }
    }

    pub fn is_lent(&self) -> bool {
        self.seen_free.is_some()
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A connection, within the limits.
    pub async fn get(&self) -> Result<Object, Error> {
        self.take(&self.pool.timeouts()).await.map_err(|error| self.not_given(error))
    }

    /// A connection, or None at once if all are in use.
    pub async fn try_get(&self) -> Result<Option<Object>, Error> {
        match self.take(&Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() }).await {
            Ok(object) => Ok(Some(object)),
            Err(PoolError::Timeout(TimeoutType::Wait)) => Ok(None),
            Err(error) => Err(self.not_given(error)),
        }
    }

    async fn take(&self, timeouts: &Timeouts) -> Result<Object, PoolError> {
        let Some(seen_free) = &self.seen_free else { return self.pool.timeout_get(timeouts).await };
        loop {
            let object = self.take_lent(timeouts).await?;
            if seen_free.is_free(&object, &self.target).await {
                return Ok(object);
            }
            // Closes it, so that the pool opens another.
            drop(Object::take(object));
        }
    }

    /// Not by the pool's own limits: it refuses any limit if its builder named no runtime.
    async fn take_lent(&self, timeouts: &Timeouts) -> Result<Object, PoolError> {
        let mut taking = pin!(self.pool.timeout_get(timeouts));
        if let Ok(taken) = timeout(WAIT, &mut taking).await {
            return taken;
        }
        let status = self.pool.status();
        if status.waiting > 0 && status.size >= status.max_size {
            return Err(PoolError::Timeout(TimeoutType::Wait));
        }
        timeout(self.target.longest(), taking).await.unwrap_or(Err(PoolError::Timeout(TimeoutType::Create)))
    }

    /// Converts an error of the pool.
    fn not_given(&self, error: PoolError) -> Error {
        let limits = self.pool.timeouts();
        match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                let size = self.pool.status().max_size;
                let waited = limits.wait.map_or(WAIT, |wait| wait.min(WAIT)).as_millis();
                Error::connect(format!("all {size} connections of the pool were in use for {waited} ms"))
                    .caused_by(error)
            }
            PoolError::Timeout(_) if self.is_lent() => {
                let longest = WAIT + self.target.longest();
                let waited = limits.create.map_or(longest, |create| create.min(longest)).as_millis();
                Error::connect(format!("the service's pool opened none within {waited} ms")).caused_by(error)
            }
            PoolError::Timeout(_) => {
                let text = format!("no answer within {} ms", self.target.longest().as_millis());
                Error::connect(format!("{}: {text}", self.target)).caused_by(no_answer(text))
            }
            // The pool does not tell its address.
            PoolError::Backend(cause) if self.is_lent() => {
                Error::connect(format!("the service's pool opened none: {}", describe(&cause))).caused_by(cause)
            }
            PoolError::Backend(cause) => {
                Error::connect(format!("{}: {}", self.target, describe(&cause))).caused_by(cause)
            }
            other => other.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::{Database, within};
    use tokio_postgres::NoTls;

    /// A pool as deadpool makes it by default: without limits and without a runtime.
    fn lent(size: usize) -> Database {
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        let pool = Pool::builder(Manager::new(url.parse().unwrap(), NoTls)).max_size(size).build().unwrap();
        Database::from_pool(pool, &url).unwrap()
    }

    async fn backend(client: &Object) -> i32 {
        client.query_typed_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
    }

    #[tokio::test]
    async fn a_connection_of_a_lent_pool_that_is_busy_with_an_abandoned_statement_is_not_handed_out() {
        let database = lent(1);
        let busy = backend(&database.client().await.unwrap()).await;
        let result = within(Duration::from_millis(50), async {
            database.client().await?.batch_execute("SELECT pg_sleep(596)").await?;
            Ok(())
        })
        .await;
        assert!(matches!(result, Err(Error::TimedOut(_))), "{result:?}");
        let next = timeout(Duration::from_secs(30), database.client()).await.expect("no wait for the sleeper").unwrap();
        let next_backend = backend(&next).await;
        assert_ne!(next_backend, busy);
        drop(next);
        // One that was seen free is kept.
        assert_eq!(backend(&database.client().await.unwrap()).await, next_backend);
    }

    #[tokio::test]
    async fn a_lent_pool_keeps_its_size_and_gives_nothing_at_once_while_it_is_held() {
        let database = lent(1).with_pool_size(50);
        assert_eq!(database.pool().status().max_size, 1);
        let held = database.client().await.unwrap();
        assert!(database.connections.try_get().await.unwrap().is_none());
        drop(held);
        assert!(database.connections.try_get().await.unwrap().is_some());
    }
}
