//! An adaptive limit for the size of a statement.
//!
//! Half as much after a statement that failed by its size, since the same size would again: it ran out of time (a
//! thousand jobs with args of 1 MiB, say), or one of its jobs made it fail. Then an eighth more after each one that did
//! not.

/// The limit of the next statement.
pub(super) struct AdaptiveBatch {
    limit: usize,
    max: usize,
}

impl AdaptiveBatch {
    /// Never more than `max`.
    pub fn new(max: usize) -> Self {
        Self { limit: max, max }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A statement of this size failed.
    pub fn shrink(&mut self, size: usize) {
        self.limit = (size.min(self.limit) / 2).max(1);
    }

    /// A statement was answered.
    pub fn grow(&mut self) {
        self.limit = self.limit.saturating_add(self.limit / 8 + 1).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_comes_down_to_what_can_be_managed_and_back(max in 1_usize..5_000, manageable in 1_usize..5_000) {
            let mut batch = AdaptiveBatch::new(max);
            let mut too_much = 0;
            while batch.limit() > manageable {
                batch.shrink(batch.limit());
                too_much += 1;
            }
            prop_assert!(too_much <= 13, "{too_much} statements in vain");
            prop_assert!(batch.limit() >= 1);
            prop_assert!(batch.limit() >= manageable.min(max) / 2, "{} of {manageable}", batch.limit());
            for _ in 0..100 {
                batch.grow();
            }
            prop_assert_eq!(batch.limit(), max);
        }
    }

    #[test]
    fn a_small_statement_that_runs_out_of_time_counts_as_what_it_was() {
        let mut batch = AdaptiveBatch::new(1_000);
        batch.shrink(10);
        assert_eq!(batch.limit(), 5);
        batch.shrink(0);
        assert_eq!(batch.limit(), 1);
    }
}
