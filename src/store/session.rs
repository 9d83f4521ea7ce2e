//! A dedicated connection of a worker.
//!
//! A direct connection to Postgres uses settings and prepared statements. A connection through a transaction pooler
//! uses neither, since both would leak into other sessions: it sends each statement as text, in a transaction.
//!
//! Promise: the server limits the time of each statement and each wait for a lock, whatever becomes of this process.

use std::collections::HashMap;
use std::sync::Arc;
#[cfg(feature = "testing")]
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, try_join};
use parking_lot::Mutex;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use crate::error::Error;
use crate::postgres::{Database, Limits, Params, Schema};
#[cfg(feature = "testing")]
use crate::postgres::{Queryable, TestTransaction};
use crate::sql::sql;

/// The rows that a statement returned.
pub(crate) type Answer = Result<Vec<Row>, tokio_postgres::Error>;

pub(crate) struct Session {
    client: Arc<Client>,
    direct: bool,
    limits: Limits,
    is_utf8: bool,
    schema: Schema,
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

/// A session that is opened on first use, and again after it has failed.
#[derive(Default)]
pub(crate) struct SessionSlot(Option<Session>);

impl SessionSlot {
    /// Runs `work` on the session, which `open` opens if needed. Keeps the session unless `work` fails or is dropped.
    pub async fn with<T>(
        &mut self,
        open: impl AsyncFnOnce() -> Result<Session, Error>,
        work: impl AsyncFnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.take_or_open(open).await?;
        let answer = work(&session).await?;
        self.keep(session);
        Ok(answer)
    }

    /// Takes the session out, or opens one. [`Self::keep`] returns it to the slot, unless it has failed.
    pub async fn take_or_open(&mut self, open: impl AsyncFnOnce() -> Result<Session, Error>) -> Result<Session, Error> {
        match self.0.take() {
            Some(session) if !session.is_closed() => Ok(session),
            _ => open().await,
        }
    }

    /// Closes a session that was opened when it was not known whether the connection is direct, or that is not any more.
    pub fn close_unless(&mut self, direct: bool) {
        self.0.take_if(|session| session.direct != direct);
    }

    /// Puts a session back for the next use.
    pub fn keep(&mut self, session: Session) {
        self.0 = Some(session);
    }

    /// Closes the session if it is open.
    pub fn close(&mut self) {
        self.0 = None;
    }
}

const KEEPALIVES: &str = sql!("session/session_keepalives");

impl Session {
    /// Opens the connection. `settings` are applied if it is direct.
    pub async fn open(
        database: &Database,
        purpose: &str,
        direct: bool,
        settings: &str,
        limits: Limits,
    ) -> Result<Self, Error> {
        let (client, connection) = database.connect(purpose).await?;
        let is_utf8 = connection.parameter("server_encoding") == Some("UTF8");
        // Ends when the client is dropped or the connection breaks. Pending statements then return the error.
        tokio::spawn(connection);
        if direct {
            Self::set_up(&client, settings, limits).await?;
        }
        Ok(Self {
            client: Arc::new(client),
            direct,
            limits,
            is_utf8,
            schema: database.schema().clone(),
            prepared: Mutex::default(),
        })
    }

    /// Runs its statements in the transaction of a test.
    #[cfg(feature = "testing")]
    pub fn in_transaction(tx: &TestTransaction) -> Self {
        Self {
            client: tx.shared_client(),
            // In one transaction, statements can be prepared through a pooler, too.
            direct: true,
            limits: Limits { statement: Duration::ZERO, lock: Duration::ZERO },
            is_utf8: tx.is_utf8(),
            schema: tx.schema(),
            prepared: Mutex::default(),
        }
    }

    pub async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        if !self.direct {
            let text = self.schema.statement(sql);
            return self.limits.run(&self.client, self.client.query_typed(&text, params)).await;
        }
        let statement = self.statement(sql, params).await?;
        Ok(self.client.query(&statement, &values(params)).await?)
    }

    /// Runs two statements in one transaction, on a direct connection. All is sent together: no round trip is added. If
    /// one fails, the transaction is rolled back. Returns the answer to each.
    pub async fn query_both(
        &self,
        (first, first_params): (&'static str, Params<'_>),
        (second, second_params): (&'static str, Params<'_>),
    ) -> Result<(Answer, Answer), Error> {
        let first = self.statement(first, first_params).await?;
        let second = self.statement(second, second_params).await?;
        let (first_params, second_params) = (values(first_params), values(second_params));
        let both = join(self.client.query(&first, &first_params), self.client.query(&second, &second_params));
        self.limits.run(&self.client, both.map(Ok::<_, Error>)).await
    }

    /// Makes the server detect that a direct connection is broken, and limit its statements.
    pub async fn set_up(client: &Client, settings: &str, limits: Limits) -> Result<(), Error> {
        let settings = async { Ok(client.batch_execute(&[KEEPALIVES, settings].concat()).await?) };
        // Sent together.
        try_join(settings, limits.apply_to_session(client)).await?;
        Ok(())
    }

    /// Whether the connection goes to Postgres directly, so that it can hold locks between statements.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether the database is encoded in UTF-8, so that all text can be sent.
    pub fn is_utf8(&self) -> bool {
        self.is_utf8
    }

    /// Whether the connection is broken.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&self, sql: &'static str, params: Params<'_>) -> Result<Statement, Error> {
        let known = self.prepared.lock().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        let statement = self.client.prepare_typed(&self.schema.statement(sql), &types).await?;
        self.prepared.lock().insert(sql, statement.clone());
        Ok(statement)
    }
}

fn values(params: Params<'_>) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|(value, _)| *value).collect()
}
