//! `diesel-async` 0.9.

use diesel::connection::TransactionManagerStatus;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager};

use super::diesel_rows::{ArraysRow, IdRow, driver_error, query};
use crate::error::Error;
use crate::postgres::any_connection::sealed::AnySealed;
use crate::postgres::{AnyConnection, AnyTransaction, Returned, Returns, Statement};

impl AnySealed for &mut AsyncPgConnection {}

impl<'c> AnyConnection<'c> for &'c mut AsyncPgConnection {
    async fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        let returned = match statement.returns() {
            Returns::Id => query(statement).get_result::<IdRow>(self).await.map(Into::into),
            Returns::Arrays => query(statement).get_result::<ArraysRow>(self).await.map(Into::into),
        };
        returned.map_err(|error| driver_error(error).into())
    }
}

impl<'c> AnyTransaction<'c> for &'c mut AsyncPgConnection {
    fn is_open(&mut self) -> bool {
        let status = <AsyncPgConnection as AsyncConnection>::TransactionManager::transaction_manager_status_mut(*self);
        matches!(status, TransactionManagerStatus::Valid(valid) if valid.transaction_depth().is_some())
    }
}
