//! The output of `worker bench`: progress, and the results as a table or as JSON lines.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::bench::{Environment, Figure, Observer, Scenario};
use crate::cli::failure::Failure;
use crate::cli::json_lines;
use crate::cli::output::Output;
use crate::cli::table::{Column, Table};

/// Steps of the progress bar per scenario.
const PARTS: u64 = 100;

const COLUMNS: &[Column] = &[
    Column::Whole("FIGURE"),
    Column::Whole("VALUE"),
    Column::Whole("UNIT"),
    Column::Whole("MIN"),
    Column::Whole("MAX"),
    Column::Whole("BARE"),
    Column::Whole("RATIO"),
];

/// Observes a run and prints it.
pub(super) struct Report {
    out: Output,
    json: bool,
    scenarios: Vec<Scenario>,
    bar: ProgressBar,
    figures: Vec<Figure>,
    /// Why standard output accepts no more.
    failure: Option<Failure>,
}

impl Report {
    pub fn new(out: Output, json: bool, scenarios: &[Scenario]) -> Self {
        let count = u64::try_from(scenarios.len()).unwrap_or(u64::MAX);
        // Hidden if standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(count.saturating_mul(PARTS)), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {elapsed}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("preparing");
        Self { out, json, scenarios: scenarios.to_vec(), bar, figures: Vec::new(), failure: None }
    }

    /// Prints the rest: the table, and what limits the results.
    pub fn end(mut self, limits: &[String]) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if !self.json && !self.figures.is_empty() {
            self.out.line("")?;
            Table::new(COLUMNS).page(self.figures.iter().map(cells), &mut self.out)?;
            if !limits.is_empty() {
                self.out.line("")?;
                self.out.line("What limits these figures:")?;
            }
            for limit in limits {
                self.out.line(&format!("- {limit}"))?;
            }
        }
        self.out.flush()
    }

    /// Written at once: a run takes minutes, and its reader wants to follow.
    fn lines(&mut self, lines: Result<Vec<String>, Failure>) {
        if self.failure.is_some() {
            return;
        }
        let out = &mut self.out;
        let written = self.bar.suspend(|| {
            lines?.iter().try_for_each(|line| out.line(line))?;
            out.flush()
        });
        self.failure = written.err();
    }
}

impl Observer for Report {
    fn begins(&mut self, environment: &Environment) {
        let lines = if self.json { line(&EnvironmentLine { environment }) } else { Ok(description(environment)) };
        self.lines(lines);
    }

    fn advances(&mut self, scenario: Scenario, done: u64, of: u64) {
        let before = self.scenarios.iter().position(|other| *other == scenario).unwrap_or_default();
        let before = u64::try_from(before).unwrap_or(u64::MAX).saturating_mul(PARTS);
        self.bar.set_message(scenario.name());
        self.bar.set_position(before + done.min(of) * PARTS / of.max(1));
    }

    fn finds(&mut self, figure: &Figure) {
        if self.json {
            self.lines(line(figure));
        }
        self.figures.push(figure.clone());
    }
}

#[derive(Serialize)]
struct EnvironmentLine<'e> {
    environment: &'e Environment,
}

fn line(value: &impl Serialize) -> Result<Vec<String>, Failure> {
    Ok(vec![json_lines::line(value)?])
}

fn description(environment: &Environment) -> Vec<String> {
    let machine = &environment.machine;
    let cores = machine.cores.map_or_else(|| "cores unknown".to_owned(), |cores| format!("{cores} cores"));
    let memory = machine.memory_mib.map(|mib| format!(", {:.1} GiB", f64_of(mib) / 1024.0)).unwrap_or_default();
    let place = if environment.same_host { "on this host" } else { "on another host" };
    let settings = environment
        .settings
        .iter()
        .filter_map(|setting| Some(format!("{} = {}", setting.name, setting.value.as_deref()?)))
        .collect::<Vec<_>>();
    let mut lines = vec![
        format!("Machine   {cores}{memory}, {}", machine.os),
        format!("Postgres  {}, {place}", environment.postgres),
    ];
    for (number, some) in settings.chunks(4).enumerate() {
        let head = if number == 0 { "Settings" } else { "" };
        lines.push(format!("{head:<8}  {}", some.join(", ")));
    }
    let milliseconds = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3} ms"));
    lines.push(format!(
        "Times     SELECT 1 {}, one row committed {}",
        milliseconds(environment.round_trip_ms),
        milliseconds(environment.commit_ms)
    ));
    lines
}

fn cells(figure: &Figure) -> Vec<String> {
    let optional = |value: Option<f64>| value.map_or_else(String::new, number);
    vec![
        figure.name.clone(),
        optional(figure.value),
        figure.unit.name().to_owned(),
        optional(figure.min),
        optional(figure.max),
        optional(figure.baseline),
        figure.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
    ]
}

/// About three significant digits, with thousands separators.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    }
    let digits = format!("{value:.0}");
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digit != '-' {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

#[allow(clippy::cast_precision_loss, reason = "no machine has 2^52 MiB")]
fn f64_of(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_thousands_separators() {
        let shown = [0.0, 0.456, 12.34, 99.96, 100.0, 999.6, 1_234_567.8].map(number);
        assert_eq!(shown, ["0.00", "0.46", "12.3", "100.0", "100", "1,000", "1,234,568"]);
    }
}
