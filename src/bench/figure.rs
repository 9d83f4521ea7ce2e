//! A figure: what a scenario found, and how far that was the same each time.

use serde::Serialize;

/// One measured figure.
///
/// As JSON it is one line of `worker bench --json`: names and units stay the same from release to
/// release.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The scenario, a dot, and what was measured.
    pub name: String,
    /// The median of the rounds; none where this system does not tell.
    pub value: Option<f64>,
    /// Of all the numbers.
    pub unit: Unit,
    /// The lowest of the rounds, where there were several.
    pub min: Option<f64>,
    /// The highest.
    pub max: Option<f64>,
    /// What it is compared with, measured in the same rounds.
    pub baseline: Option<f64>,
    /// Value by baseline: the median of the rounds, each compared with its own baseline.
    pub ratio: Option<f64>,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Jobs a second.
    #[serde(rename = "jobs/s")]
    JobsPerSecond,
    /// Queries a second.
    #[serde(rename = "queries/s")]
    QueriesPerSecond,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Seconds of one core.
    #[serde(rename = "s")]
    CoreSeconds,
    /// Hundredths of a core.
    #[serde(rename = "%")]
    PercentOfCore,
    /// Bytes a job.
    #[serde(rename = "B/job")]
    BytesPerJob,
    /// Rows a job.
    #[serde(rename = "rows/job")]
    RowsPerJob,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
}

impl Unit {
    /// As it is written.
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
    /// Of one measurement; none where there was nothing to measure with.
    pub(super) fn single(name: impl Into<String>, unit: Unit, value: Option<f64>) -> Self {
        Self { name: name.into(), value, unit, min: None, max: None, baseline: None, ratio: None }
    }

    /// Of several rounds.
    pub(super) fn of_rounds(name: impl Into<String>, unit: Unit, rounds: &[f64]) -> Self {
        let mut figure = Self::single(name, unit, median(rounds));
        if rounds.len() > 1 {
            figure.min = rounds.iter().copied().reduce(f64::min);
            figure.max = rounds.iter().copied().reduce(f64::max);
        }
        figure
    }

    /// The same, where some rounds may have nothing.
    pub(super) fn of_known_rounds(name: impl Into<String>, unit: Unit, rounds: &[Option<f64>]) -> Self {
        let known: Vec<f64> = rounds.iter().flatten().copied().collect();
        Self::of_rounds(name, unit, &known)
    }

    /// Compared with what was measured beside it, round by round.
    pub(super) fn beside(mut self, rounds: &[f64], bare: &[f64]) -> Self {
        let ratios: Vec<f64> = rounds.iter().zip(bare).filter(|(_, bare)| **bare > 0.0).map(|(a, b)| a / b).collect();
        self.baseline = median(bare);
        self.ratio = median(&ratios);
        self
    }

    /// Compared with one number.
    pub(super) fn against(mut self, baseline: Option<f64>) -> Self {
        self.ratio = self.value.zip(baseline).filter(|(_, baseline)| *baseline > 0.0).map(|(value, by)| value / by);
        self.baseline = baseline;
        self
    }
}

/// The middle one, or the mean of the two in the middle.
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
