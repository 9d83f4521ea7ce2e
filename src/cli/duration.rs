//! Durations on the command line: a number with its unit, and bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A year of 365.25 days, as humantime has it.
const YEAR_HOURS: u64 = 8_766;
/// The longest that any flag takes.
pub(super) const THOUSAND_YEARS: Duration = Duration::from_hours(1000 * YEAR_HOURS);
/// The longest time to look back: longer than any job is kept.
pub(super) const HUNDRED_YEARS: Duration = Duration::from_hours(100 * YEAR_HOURS);

/// A parser for a flag that takes a duration within bounds.
pub(super) fn between(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let (from, to) = (humantime::format_duration(*bounds.start()), humantime::format_duration(*bounds.end()));
        let duration = parse(text).map_err(|problem| format!("{problem}; allowed is {from} to {to}"))?;
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        Err(format!("allowed is {from} to {to}"))
    }
}

fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.parse::<f64>().is_ok() {
        return Err(format!("a unit is missing: write {text}s for seconds or {text}ms for milliseconds"));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 250ms, 10s, 5m or 1h"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn units_are_read_and_bounds_are_kept() {
        let parse = between(Duration::from_millis(10)..=3600 * SECOND);
        assert_eq!(parse("250ms"), Ok(SECOND / 4));
        assert_eq!(parse("1s"), Ok(SECOND));
        assert_eq!(parse("1h"), Ok(3600 * SECOND));
        assert_eq!(parse("1m 30s"), Ok(90 * SECOND));
        for outside in ["9ms", "61m", "584942417years"] {
            assert!(parse(outside).unwrap_err().contains("10ms to 1h"), "{outside}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_a_hint() {
        for bare in ["5", "0", "1.5", "-3"] {
            let error = between(Duration::ZERO..=SECOND)(bare).unwrap_err();
            assert!(error.contains("unit is missing") && error.contains(&format!("{bare}s")), "{error}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", " ", "s", "1x", "one second", "99999999999999999999s", "-1s", "1s\0", "\u{661}s"] {
            assert!(between(Duration::ZERO..=SECOND)(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r"[-+.0-9a-zµ \u{0}é]{0,40}|\PC{0,40}") {
            let _ = between(Duration::ZERO..=THOUSAND_YEARS)(&text);
        }

        #[test]
        fn what_humantime_writes_is_read_back(ms in 0_u64..31_556_926_000_000) {
            let duration = Duration::from_millis(ms);
            let text = humantime::format_duration(duration).to_string();
            prop_assert_eq!(between(Duration::ZERO..=THOUSAND_YEARS)(&text), Ok(duration));
        }
    }
}
