//! A connection for work that must not wait for handlers.

use std::ops::Deref;

use deadpool_postgres::Object;
use tokio_postgres::Client;

use super::Database;
use crate::error::Error;

/// A connection from the pool, or a dedicated one if handlers hold the whole pool.
pub(super) enum ClientWithoutWait {
    Pooled(Object),
    Own(Client),
}

impl From<Object> for ClientWithoutWait {
    fn from(object: Object) -> Self {
        Self::Pooled(object)
    }
}

impl Deref for ClientWithoutWait {
    type Target = Client;

    fn deref(&self) -> &Client {
        match self {
            Self::Pooled(object) => object,
            Self::Own(client) => client,
        }
    }
}

impl ClientWithoutWait {
    /// Closes the connection: it does not return to the pool.
    pub(super) fn close(self) {
        match self {
            Self::Pooled(object) => drop(Object::take(object)),
            Self::Own(client) => drop(client),
        }
    }
}

impl Database {
    /// Returns a connection for `purpose` without waiting for the pool.
    pub(super) async fn client_without_wait(&self, purpose: &str) -> Result<ClientWithoutWait, Error> {
        if let Some(object) = self.connections.try_get().await? {
            return Ok(ClientWithoutWait::Pooled(object));
        }
        let (client, connection) = self.connect(purpose).await?;
        // Ends when the client is dropped.
        tokio::spawn(connection);
        Ok(ClientWithoutWait::Own(client))
    }
}
