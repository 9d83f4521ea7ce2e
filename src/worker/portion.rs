//! How much to ask of the database in one statement.
//!
//! Half as much after one that ran out of time, since the same again would do so again (a thousand
//! jobs with a payload of a MiB each, say); then an eighth more with each that did not.

/// The size of the next statement.
pub(super) struct Portion {
    most: usize,
    limit: usize,
}

impl Portion {
    /// Never more than `limit`.
    pub fn new(limit: usize) -> Self {
        Self { most: limit, limit }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// A statement of this size ran out of time.
    pub fn was_too_much(&mut self, size: usize) {
        self.most = (size.min(self.most) / 2).max(1);
    }

    /// A statement was answered.
    pub fn was_managed(&mut self) {
        self.most = self.most.saturating_add(self.most / 8 + 1).min(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_comes_down_to_what_can_be_managed_and_back(limit in 1_usize..5_000, manageable in 1_usize..5_000) {
            let mut portion = Portion::new(limit);
            let mut too_much = 0;
            while portion.most() > manageable {
                portion.was_too_much(portion.most());
                too_much += 1;
            }
            prop_assert!(too_much <= 13, "{too_much} statements in vain");
            prop_assert!(portion.most() >= 1);
            prop_assert!(portion.most() >= manageable.min(limit) / 2, "{} of {manageable}", portion.most());
            for _ in 0..100 {
                portion.was_managed();
            }
            prop_assert_eq!(portion.most(), limit);
        }
    }

    #[test]
    fn a_small_statement_that_runs_out_of_time_counts_as_what_it_was() {
        let mut portion = Portion::new(1_000);
        portion.was_too_much(10);
        assert_eq!(portion.most(), 5);
        portion.was_too_much(0);
        assert_eq!(portion.most(), 1);
    }
}
