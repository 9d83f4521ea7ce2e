//! Times for people: how long ago, or in how long.

use chrono::{DateTime, Utc};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// `in 14s`, `now` or `3m ago`, relative to `now`.
pub(super) fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (time - now).num_seconds() {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {}", short(ahead)),
        behind => format!("{} ago", short(-behind)),
    }
}

/// `95s`, `35m`, `30h`, `12d`, `3y`: two or three digits of the unit that fits.
pub(super) fn short(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / MINUTE),
        7_200..172_800 => format!("{}h", seconds / HOUR),
        172_800..63_072_000 => format!("{}d", seconds / DAY),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_unit_fits_the_distance() {
        let now = DateTime::UNIX_EPOCH;
        for (seconds, text) in [
            (0, "now"),
            (14, "in 14s"),
            (-119, "119s ago"),
            (-180, "3m ago"),
            (7_200, "in 2h"),
            (-259_200, "3d ago"),
            (94_608_000, "in 3y"),
        ] {
            assert_eq!(relative(now + TimeDelta::seconds(seconds), now), text);
        }
    }
}
