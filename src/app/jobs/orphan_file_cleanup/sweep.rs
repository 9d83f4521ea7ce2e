//! One run of the cleanup, step by step. The module above explains the order.
//!
//! Promises: memory is bounded by one batch. The run may end after any step.

use std::collections::HashSet;

use tracing::{info, warn};
use uuid::Uuid;

use super::{CutShort, Report, Settings};
use crate::app::AppError;
use crate::app::object_store::{NotDeleted, ObjectStore};
use crate::app::store::orphans::{ClaimedFile, OrphanCursor};
use crate::app::store::{self, Patience};
use crate::postgres::Database;

/// Rows of the file table that one statement reads.
const SCAN_PAGE: i64 = 10_000;
/// The store counts as down after this many batches in a row have failed as a whole.
const FAILURES_IN_A_ROW: u32 = 3;

/// Cleans until nothing is due, `cancelled` returns true, or the store is down. Counts single failures and continues.
/// See [`Report::verdict`].
///
/// # Errors
/// [`AppError::Config`] if the store cannot be used, [`AppError::Queue`] if the database failed. Completed batches
/// are kept.
pub async fn run(
    database: &Database,
    object_store: &ObjectStore,
    settings: &Settings,
    cancelled: impl Fn() -> bool + Send + Sync,
) -> Result<Report, AppError> {
    let mut sweep = Sweep { database, object_store, settings, cancelled, report: Report::default() };
    sweep.run().await?;
    let report = sweep.report;
    info!(
        job_id = settings.job_id,
        stamped = report.stamped,
        abandoned = report.abandoned,
        deleted = report.deleted,
        failed = report.failed,
        "orphan cleanup done"
    );
    Ok(report)
}

struct Sweep<'a, C> {
    database: &'a Database,
    object_store: &'a ObjectStore,
    settings: &'a Settings,
    cancelled: C,
    report: Report,
}

impl<C: Fn() -> bool + Send + Sync> Sweep<'_, C> {
    async fn run(&mut self) -> Result<(), AppError> {
        self.raise_generation().await?;
        self.mark_abandoned().await?;
        if !self.settings.stamped_only {
            self.stamp().await?;
        }
        self.mark_due().await?;
        self.delete_marked().await
    }

    /// Returns whether to stop here, and records the reason in the report.
    fn stop(&mut self) -> bool {
        if (self.cancelled)() {
            self.report.cut_short = Some(CutShort::Cancelled);
        }
        self.report.cut_short.is_some()
    }

    fn batch(&self) -> i64 {
        i64::from(self.settings.batch_size)
    }

    async fn raise_generation(&self) -> Result<(), AppError> {
        let tx = store::begin(self.database, Patience::Long).await?;
        store::orphans::begin_cleanup(&tx).await?;
        Ok(tx.commit().await?)
    }

    async fn mark_abandoned(&mut self) -> Result<(), AppError> {
        while !self.stop() {
            let tx = store::begin(self.database, Patience::Long).await?;
            let marked = store::orphans::mark_abandoned(&tx, self.batch()).await?;
            tx.commit().await?;
            if marked == 0 {
                break;
            }
            self.report.abandoned += marked;
        }
        Ok(())
    }

    async fn stamp(&mut self) -> Result<(), AppError> {
        let mut after = Uuid::nil();
        while !self.stop() {
            let tx = store::begin(self.database, Patience::Long).await?;
            store::orphans::decide_alone(&tx).await?;
            let page = store::orphans::stamp_orphans(&tx, after, SCAN_PAGE, self.settings.grace.as_secs_f64()).await?;
            tx.commit().await?;
            let Some(page) = page else { break };
            self.report.stamped += page.orphans;
            after = page.last_id;
        }
        Ok(())
    }

    async fn mark_due(&mut self) -> Result<(), AppError> {
        let mut after = OrphanCursor::START;
        while !self.stop() {
            let tx = store::begin(self.database, Patience::Long).await?;
            store::orphans::decide_alone(&tx).await?;
            let page =
                store::orphans::mark_orphans(&tx, self.settings.grace.as_secs_f64(), after, self.batch()).await?;
            tx.commit().await?;
            let Some(page) = page else { break };
            self.report.marked += page.deleting;
            self.report.kept += page.kept;
            after = page.last;
        }
        Ok(())
    }

    async fn delete_marked(&mut self) -> Result<(), AppError> {
        let mut after = Uuid::nil();
        let mut failures_in_a_row = 0;
        while !self.stop() {
            let batch = self.claim(after).await?;
            let Some(last) = batch.last() else { break };
            after = last.id;
            if self.delete(&batch).await? {
                failures_in_a_row = 0;
            } else {
                failures_in_a_row += 1;
            }
            if failures_in_a_row == FAILURES_IN_A_ROW {
                self.report.cut_short = Some(CutShort::StoreDown);
            }
            let Report { deleted, failed, .. } = self.report;
            info!(job_id = self.settings.job_id, deleted, failed, "orphan cleanup goes on");
        }
        Ok(())
    }

    async fn claim(&self, after: Uuid) -> Result<Vec<ClaimedFile>, AppError> {
        let tx = store::begin(self.database, Patience::Long).await?;
        let files = store::orphans::claim_marked(&tx, self.settings.job_id, after, self.batch()).await?;
        tx.commit().await?;
        Ok(files)
    }

    /// Deletes the objects of a batch, then the rows of the deleted objects. Returns `false` if the whole batch failed.
    async fn delete(&mut self, batch: &[ClaimedFile]) -> Result<bool, AppError> {
        let keys: Vec<String> = batch.iter().map(|file| file.s3_key.clone()).collect();
        match self.object_store.delete(&keys).await {
            Ok(not_deleted) => {
                self.settle(batch, &not_deleted).await?;
                Ok(true)
            }
            Err(AppError::Storage { operation, problem }) => {
                let problem = format!("{operation}: {problem}");
                let all: Vec<_> = keys.into_iter().map(|key| NotDeleted { key, problem: problem.clone() }).collect();
                self.settle(batch, &all).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn settle(&mut self, batch: &[ClaimedFile], not_deleted: &[NotDeleted]) -> Result<(), AppError> {
        let refused: HashSet<&str> = not_deleted.iter().map(|object| object.key.as_str()).collect();
        let (failed, gone): (Vec<&ClaimedFile>, Vec<_>) =
            batch.iter().partition(|file| refused.contains(file.s3_key.as_str()));
        let ids = |files: &[&ClaimedFile]| files.iter().map(|file| file.id).collect::<Vec<Uuid>>();

        let tx = store::begin(self.database, Patience::Long).await?;
        store::orphans::settle_deleted(&tx, &ids(&gone)).await?;
        store::orphans::release_claims(&tx, &ids(&failed), self.settings.job_id).await?;
        tx.commit().await?;

        self.report.deleted += gone.len() as u64;
        self.report.failed += failed.len() as u64;
        if let Some(first) = not_deleted.first() {
            let problem = format!("{}: {}", first.key, first.problem);
            warn!(job_id = self.settings.job_id, failed = failed.len(), problem, "files could not be deleted");
            self.report.problem.get_or_insert(problem);
        }
        Ok(())
    }
}
