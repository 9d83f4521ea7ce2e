//! A connection of a worker's own.
//!
//! Where it goes directly to Postgres it has settings of its own and keeps its statements
//! prepared. Through a transaction pooler neither is allowed, since both would leak into other
//! people's sessions: then each statement travels whole.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::sql;
use crate::{Database, Error};

pub(crate) struct Session {
    client: Client,
    direct: bool,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

const KEEPALIVES: &str = sql!("session_keepalives");

/// A statement's parameters, each with its type.
pub(crate) type Params<'p> = &'p [(&'p (dyn ToSql + Sync), Type)];

impl Session {
    /// Opens the connection; `settings` are applied where it is direct.
    pub async fn open(database: &Database, purpose: &str, direct: bool, settings: &str) -> Result<Self, Error> {
        let (client, connection) = database.connect(purpose).await?;
        // Ends by itself when the client is dropped or the connection breaks; either way the
        // statements in flight report it.
        tokio::spawn(connection);
        if direct {
            client.batch_execute(&[KEEPALIVES, settings].concat()).await?;
        }
        Ok(Self { client, direct, prepared: Mutex::default() })
    }

    pub async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        if !self.direct {
            return Ok(self.client.query_typed(sql, params).await?);
        }
        let statement = self.statement(sql, params).await?;
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        Ok(self.client.query(&statement, &values).await?)
    }

    /// Has the server notice if a direct connection is cut off.
    pub async fn keep_alive(client: &Client) -> Result<(), Error> {
        Ok(client.batch_execute(KEEPALIVES).await?)
    }

    /// Whether the connection has broken.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&self, sql: &'static str, params: Params<'_>) -> Result<Statement, Error> {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        let statement = self.client.prepare_typed(sql, &types).await?;
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
        Ok(statement)
    }
}
