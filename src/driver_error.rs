//! The error of a driver other than tokio-postgres, with what Postgres said of it.

use std::error::Error as StdError;
use std::fmt;

use crate::error::Cause;
use crate::error_chain::chain_text;

/// Once the text has this many bytes, no further cause is added.
const MAX_TEXT: usize = 4096;

/// What a driver other than tokio-postgres reported. Its [`source`](StdError::source) is the driver's own error.
#[derive(Debug)]
pub struct DriverError {
    source: Cause,
    sqlstate: Option<String>,
    constraint: Option<String>,
    table: Option<String>,
    is_closed: bool,
}

impl DriverError {
    /// Made only by the adapters of drivers.
    #[cfg_attr(not(feature = "_drivers"), expect(dead_code, reason = "no driver is compiled"))]
    pub(crate) fn new(source: impl Into<Cause>) -> Self {
        Self { source: source.into(), sqlstate: None, constraint: None, table: None, is_closed: false }
    }

    /// The answer of Postgres. `table` and `constraint` if it named them.
    #[cfg_attr(not(feature = "_drivers"), expect(dead_code, reason = "no driver is compiled"))]
    pub(crate) fn refused(mut self, sqlstate: Option<&str>, table: Option<&str>, constraint: Option<&str>) -> Self {
        self.sqlstate = sqlstate.map(str::to_owned);
        self.table = table.map(str::to_owned);
        self.constraint = constraint.map(str::to_owned);
        self
    }

    /// The connection is lost, or none could be had.
    #[cfg_attr(not(feature = "_drivers"), expect(dead_code, reason = "no driver is compiled"))]
    pub(crate) fn closed(mut self, is_closed: bool) -> Self {
        self.is_closed = is_closed;
        self
    }

    /// The SQLSTATE, if Postgres sent one and the driver passes it on. `diesel` passes on only some.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    pub(crate) fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    pub(crate) fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain_text(self.source.as_ref(), MAX_TEXT, |_| false))?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, " (SQLSTATE {sqlstate})")?;
        }
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint}")?;
        }
        Ok(())
    }
}

impl StdError for DriverError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_ref())
    }
}
