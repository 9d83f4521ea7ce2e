//! Tables for people: aligned, without borders, as wide as the terminal.
//!
//! Promises: one line per row. Text that does not fit is cut and ends in `…`. Control characters are escaped. Rows
//! are printed in pages, so that a table of any length takes the memory of one page. If standard output is no terminal,
//! nothing is cut, unless `COLUMNS` sets a width.

use comfy_table::{Cell, ColumnConstraint, Row, Table as Layout, Width};

use super::failure::Failure;
use super::output::Output;
use crate::program::environment::variable;
use crate::program::visible::visible;

/// Between two columns.
const GAP: u16 = 2;
/// A cut column keeps at least this width, even if the table is then too wide.
const NARROWEST: u16 = 4;

/// A column: its heading, and whether it may be cut.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Never cut: ids, states, numbers, times.
    Whole(&'static str),
    /// May be cut: names, messages.
    Cut(&'static str),
}

/// A table in progress.
pub(super) struct Table {
    columns: &'static [Column],
    /// The width of each column so far, so that later pages align with the first.
    widest: Vec<u16>,
    width: Option<u16>,
    headed: bool,
}

impl Table {
    pub fn new(columns: &'static [Column]) -> Self {
        Self { columns, widest: vec![0; columns.len()], width: columns_variable(), headed: false }
    }

    /// Prints a page of rows, the first one with the headings.
    pub fn page(&mut self, rows: impl IntoIterator<Item = Vec<String>>, out: &mut Output) -> Result<(), Failure> {
        let mut layout = Layout::new();
        layout.load_preset(comfy_table::presets::NOTHING).set_truncation_indicator("…");
        if let Some(width) = self.width {
            layout.set_width(width);
        }
        if !self.headed {
            layout.add_row(row(self.columns.iter().map(|column| column.head().to_owned())));
            self.headed = true;
        }
        for texts in rows {
            layout.add_row(row(texts.iter().map(|text| one_line(text))));
        }
        self.align(&mut layout);
        for line in layout.lines() {
            out.line(line.trim_end())?;
        }
        out.flush()
    }

    /// Assigns widths: what each column wants if the line is long enough. Otherwise columns that may be cut share
    /// what the others leave.
    fn align(&mut self, layout: &mut Layout) {
        for (widest, width) in self.widest.iter_mut().zip(layout.column_max_content_widths()) {
            *widest = width.max(*widest);
        }
        let mut widths = self.widest.clone();
        if let Some(line) = layout.width() {
            let cut: Vec<usize> = (0..widths.len()).filter(|at| matches!(self.columns[*at], Column::Cut(_))).collect();
            let whole = (0..widths.len()).filter(|at| !cut.contains(at)).map(|at| usize::from(widths[at]));
            let taken = whole.sum::<usize>() + usize::from(GAP) * widths.len().saturating_sub(1);
            share(&mut widths, cut, usize::from(line).saturating_sub(taken));
        }
        let last = widths.len().saturating_sub(1);
        for (at, width) in widths.into_iter().enumerate() {
            let Some(column) = layout.column_mut(at) else { continue };
            let gap = if at == last { 0 } else { GAP };
            column.set_padding((0, gap));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width.saturating_add(gap))));
        }
    }
}

/// Shares `left` among the columns `cut`: narrow ones stay whole, wide ones get the same.
fn share(widths: &mut [u16], mut cut: Vec<usize>, mut left: usize) {
    cut.sort_by_key(|at| widths[*at]);
    for (done, at) in cut.iter().enumerate() {
        let fair = (left / (cut.len() - done)).max(usize::from(NARROWEST));
        let width = usize::from(widths[*at]).min(fair);
        left = left.saturating_sub(width);
        widths[*at] = u16::try_from(width).unwrap_or(u16::MAX);
    }
}

fn row(texts: impl Iterator<Item = String>) -> Row {
    let mut row = Row::from(texts.map(Cell::new));
    row.max_height(1);
    row
}

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Whole(head) | Self::Cut(head) => head,
        }
    }
}

/// The first non-blank line of a text, without control characters. `-` for none.
fn one_line(text: &str) -> String {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.is_empty() { "-".to_owned() } else { visible(first).into_owned() }
}

/// The width of `COLUMNS`, which overrides the terminal's.
fn columns_variable() -> Option<u16> {
    variable("COLUMNS").ok()??.parse().ok().filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_columns_stay_whole_and_wide_ones_share_the_rest() {
        let mut widths = [6, 40, 8, 100];
        share(&mut widths, vec![1, 2, 3], 60);
        assert_eq!(widths, [6, 26, 8, 26]);
        let mut fitting = [5, 5];
        share(&mut fitting, vec![0, 1], 60);
        assert_eq!(fitting, [5, 5]);
    }

    #[test]
    fn a_cell_is_the_first_line_made_visible() {
        assert_eq!(one_line("first\nsecond"), "first");
        assert_eq!(one_line("\u{1b}[2Jx"), "\\u{1b}[2Jx");
        assert_eq!(one_line("\n \r\n  said after a break"), "  said after a break");
        assert_eq!(one_line("\n"), "-");
        assert_eq!(one_line(""), "-");
    }
}
