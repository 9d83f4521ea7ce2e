//! Recording the outcomes of attempts.
//!
//! - `finisher` writes outcomes in batches, `record` chooses the statement for each kind of outcome
//! - `deferred` keeps the outcomes that the database refuses for now
//! - `report` writes the log lines and counts
//!
//! Promises: an outcome is written only while its fence holds; none is dropped before it is written or refused as
//! stale.
//!
//! It decides no outcome, with one exception: an attempt has failed if its handler completed the job in a transaction
//! that was not committed.

pub(super) mod deferred;
pub(super) mod finisher;
pub(super) mod record;
pub(super) mod report;
