//! How a transaction of diesel ends: it commits after `Ok`, and rolls back for every error.

use diesel::result::Error as DieselError;
use postrider::{Enqueued, Error};

/// What ends a transaction: diesel rolls back for every error.
pub enum Ended {
    RolledBack(Vec<Enqueued>),
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<DieselError> for Ended {
    fn from(error: DieselError) -> Self {
        panic!("{error}")
    }
}

pub fn ended(result: Result<Vec<Enqueued>, Ended>) -> Result<Vec<Enqueued>, Error> {
    match result {
        Ok(enqueued) | Err(Ended::RolledBack(enqueued)) => Ok(enqueued),
        Err(Ended::Failed(error)) => Err(error),
    }
}
