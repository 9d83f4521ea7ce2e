//! Measuring, for promises about time.
//!
//! A machine that is busy with something else makes one round slow, a fault makes all of them slow: so the
//! best of a few rounds is judged, and each is printed. Tests that measure run alone, too: they are named in
//! `.config/nextest.toml`.

use std::fmt::Debug;
use std::time::Duration;

/// How often at most something is measured.
const ROUNDS: usize = 3;

/// Fails unless one of a few rounds takes less than `bound`.
pub async fn takes_less_than(bound: Duration, what: &str, measure: impl AsyncFnMut() -> Duration) {
    in_some_round(&format!("{what} takes less than {bound:?}"), measure, |took| *took < bound).await;
}

/// Measures until the result is good. Fails with all results if it never is.
pub async fn in_some_round<T: Debug>(what: &str, mut measure: impl AsyncFnMut() -> T, is_good: impl Fn(&T) -> bool) {
    let mut seen = Vec::new();
    for round in 1..=ROUNDS {
        let figures = measure().await;
        println!("{what}: round {round}, {figures:?}");
        if is_good(&figures) {
            return;
        }
        seen.push(figures);
    }
    panic!("in no round: {what}: {seen:?}");
}
