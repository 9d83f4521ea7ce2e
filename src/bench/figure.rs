//! A figure: the result of a measurement and its spread over the rounds.

use serde::Serialize;

/// One measured figure.
///
/// In `worker bench --json` it is one line. Names and units are stable across releases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// `<scenario>.<measurement>`.
    pub name: String,
    /// The median of the rounds. `None` if this system does not provide it.
    pub value: Option<f64>,
    /// The unit of all values except the ratio.
    pub unit: Unit,
    /// The lowest value if there are several rounds.
    pub min: Option<f64>,
    /// The highest value if there are several rounds.
    pub max: Option<f64>,
    /// The value that it is compared with, measured in the same rounds.
    pub baseline: Option<f64>,
    /// The median over the rounds of value divided by baseline of the same round.
    pub ratio: Option<f64>,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Jobs per second.
    #[serde(rename = "jobs/s")]
    JobsPerSecond,
    /// Queries per second.
    #[serde(rename = "queries/s")]
    QueriesPerSecond,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// CPU seconds.
    #[serde(rename = "s")]
    CoreSeconds,
    /// Percent of one core.
    #[serde(rename = "%")]
    PercentOfCore,
    /// Bytes per job.
    #[serde(rename = "B/job")]
    BytesPerJob,
    /// Rows per job.
    #[serde(rename = "rows/job")]
    RowsPerJob,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
}

impl Unit {
    /// The symbol of the unit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JobsPerSecond => "jobs/s",
            Self::QueriesPerSecond => "queries/s",
            Self::Milliseconds => "ms",
            Self::CoreSeconds => "s",
            Self::PercentOfCore => "%",
            Self::BytesPerJob => "B/job",
            Self::RowsPerJob => "rows/job",
            Self::Mebibytes => "MiB",
        }
    }
}

impl Figure {
    /// A figure of one measurement. `value` is `None` if it could not be measured.
    pub(super) fn single(name: impl Into<String>, unit: Unit, value: Option<f64>) -> Self {
        Self { name: name.into(), value, unit, min: None, max: None, baseline: None, ratio: None }
    }

    /// A figure of several rounds.
    pub(super) fn of_rounds(name: impl Into<String>, unit: Unit, rounds: &[f64]) -> Self {
        let mut figure = Self::single(name, unit, median(rounds));
        if rounds.len() > 1 {
            figure.min = rounds.iter().copied().reduce(f64::min);
            figure.max = rounds.iter().copied().reduce(f64::max);
        }
        figure
    }

    /// As [`Self::of_rounds`], without the rounds that have no value.
    pub(super) fn of_known_rounds(name: impl Into<String>, unit: Unit, rounds: &[Option<f64>]) -> Self {
        let known: Vec<f64> = rounds.iter().flatten().copied().collect();
        Self::of_rounds(name, unit, &known)
    }

    /// Adds a baseline that was measured in the same rounds.
    pub(super) fn beside(mut self, rounds: &[f64], bare: &[f64]) -> Self {
        let ratios: Vec<f64> = rounds.iter().zip(bare).filter(|(_, bare)| **bare > 0.0).map(|(a, b)| a / b).collect();
        self.baseline = median(bare);
        self.ratio = median(&ratios);
        self
    }

    /// Adds a fixed baseline.
    pub(super) fn against(mut self, baseline: Option<f64>) -> Self {
        self.ratio = self.value.zip(baseline).filter(|(_, baseline)| *baseline > 0.0).map(|(value, by)| value / by);
        self.baseline = baseline;
        self
    }
}

/// Returns the middle value, or the mean of the two middle values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[middle - 1], upper)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle_and_one_outlier_does_not_move_it() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[1000.0, 2.0, 1.0]), Some(2.0));
    }

    #[test]
    fn each_round_is_compared_with_its_own_baseline() {
        let (ours, bare) = ([9.0, 90.0, 450.0], [10.0, 100.0, 500.0]);
        let figure = Figure::of_rounds("x.rate", Unit::JobsPerSecond, &ours).beside(&ours, &bare);
        assert_eq!((figure.value, figure.min, figure.max), (Some(90.0), Some(9.0), Some(450.0)));
        assert_eq!((figure.baseline, figure.ratio), (Some(100.0), Some(0.9)));
        assert_eq!(Figure::single("x", Unit::JobsPerSecond, Some(1.0)).against(Some(0.0)).ratio, None);
    }
}
