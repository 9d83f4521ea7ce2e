//! A connection for what must not wait for handlers.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::{Object, PoolError, TimeoutType, Timeouts};
use tokio_postgres::Client;

use super::Database;
use crate::Error;

/// From the pool, or where handlers hold all of that, one of its own.
pub(crate) enum AtOnce {
    Pooled(Object),
    Own(Client),
}

impl Deref for AtOnce {
    type Target = Client;

    fn deref(&self) -> &Client {
        match self {
            Self::Pooled(object) => object,
            Self::Own(client) => client,
        }
    }
}

impl DerefMut for AtOnce {
    fn deref_mut(&mut self) -> &mut Client {
        match self {
            Self::Pooled(object) => object,
            Self::Own(client) => client,
        }
    }
}

impl Database {
    /// A connection without a wait for the pool, for `purpose`.
    pub(crate) async fn client_at_once(&self, purpose: &str) -> Result<AtOnce, Error> {
        let timeouts = Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() };
        match self.pool.timeout_get(&timeouts).await {
            Ok(object) => Ok(AtOnce::Pooled(object)),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                let (client, connection) = self.connect(purpose).await?;
                // Ends by itself when the client is dropped.
                tokio::spawn(connection);
                Ok(AtOnce::Own(client))
            }
            Err(error) => Err(self.not_given(error)),
        }
    }
}
