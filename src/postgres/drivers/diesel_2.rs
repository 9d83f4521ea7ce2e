//! `diesel` 2, whose connections block.

use diesel::RunQueryDsl;
use diesel::connection::{LoadConnection, TransactionManager, TransactionManagerStatus};
use diesel::pg::Pg;

use super::diesel_rows::{ArraysRow, IdRow, driver_error, query};
use crate::error::Error;
use crate::postgres::any_connection::sealed::BlockingSealed;
use crate::postgres::{BlockingConnection, Returned, Returns, Statement};

impl<C: LoadConnection<Backend = Pg>> BlockingSealed for &mut C {}

impl<C: LoadConnection<Backend = Pg>> BlockingConnection for &mut C {
    fn run(self, statement: Statement<'_>) -> Result<Returned, Error> {
        let returned = match statement.returns() {
            Returns::Id => query(statement).get_result::<IdRow>(self).map(Into::into),
            Returns::Arrays => query(statement).get_result::<ArraysRow>(self).map(Into::into),
        };
        returned.map_err(|error| driver_error(error).into())
    }

    fn is_open(&mut self) -> bool {
        let status = C::TransactionManager::transaction_manager_status_mut(*self);
        matches!(status, TransactionManagerStatus::Valid(valid) if valid.transaction_depth().is_some())
    }
}
