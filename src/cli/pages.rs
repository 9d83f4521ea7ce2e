//! Sizes of pages, so that a list of any length takes little memory.

use crate::job::JobRecord;

/// Rows of the first page.
const FIRST: u32 = 100;
/// The largest page, in rows.
const MOST: u32 = 500;
/// About the largest page, in bytes of JSON: rows of 1 MiB each come in small pages.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A list in progress.
pub(super) struct Pages {
    /// Rows still wanted. None: all.
    left: Option<u64>,
    size: u32,
}

impl Pages {
    /// For a `--limit`, of which 0 means all.
    pub fn new(limit: u64) -> Self {
        Self { left: (limit > 0).then_some(limit), size: FIRST }
    }

    /// The size of the next page. 0 when there are enough rows.
    pub fn next_size(&self) -> u32 {
        let left = self.left.unwrap_or(u64::MAX);
        u32::try_from(left).unwrap_or(u32::MAX).min(self.size)
    }

    /// Records a page that [`Pages::next_size`] asked for. Returns whether another one may follow.
    pub fn took<'r>(&mut self, rows: impl Iterator<Item = &'r JobRecord>) -> bool {
        let asked = self.next_size();
        let (mut count, mut bytes) = (0_u32, 0_usize);
        for row in rows {
            count += 1;
            bytes += row.json_bytes();
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u64::from(count));
        }
        let per_row = (bytes / count.max(1) as usize).max(1);
        self.size = u32::try_from(PAGE_BYTES / per_row).unwrap_or(MOST).clamp(1, MOST);
        count == asked && self.next_size() > 0
    }
}
