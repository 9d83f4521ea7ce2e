//! The causes of an error, up to a limit.
//!
//! Errors come from handlers and libraries, and a chain of `source()` may be circular. All code that follows causes
//! uses this module, so that it ends.

use std::error::Error;
use std::fmt::{self, Write};

/// The maximum number of causes that are read.
const MAX_CAUSES: usize = 32;

/// The error and its causes, the nearest first.
pub(crate) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| (*cause).source()).take(MAX_CAUSES + 1)
}

/// The text of an error, then of each cause that it does not contain yet, until it has `enough` bytes, or up to an
/// error that `tells_its_causes` itself.
pub(crate) fn chain_text(
    error: &(dyn Error + 'static),
    enough: usize,
    tells_its_causes: impl Fn(&(dyn Error + 'static)) -> bool,
) -> String {
    let mut text = String::new();
    for (depth, cause) in causes(error).enumerate() {
        let message = message(cause, enough);
        if depth == 0 {
            text = message;
        } else if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        if text.len() > enough || tells_its_causes(cause) {
            break;
        }
    }
    text
}

/// The text of one error, cut off soon after `enough` bytes.
fn message(error: &dyn Error, enough: usize) -> String {
    let mut text = Bounded { text: String::new(), enough };
    // Fails only once the text has `enough` bytes.
    let _ = write!(text, "{error}");
    text.text
}

struct Bounded {
    text: String,
    enough: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len() > self.enough {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    /// An error that is its own cause, through a second one.
    #[derive(Debug)]
    struct Circle(&'static str, &'static OnceLock<Circle>);

    static FIRST: OnceLock<Circle> = OnceLock::new();
    static SECOND: OnceLock<Circle> = OnceLock::new();

    impl fmt::Display for Circle {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str(self.0)
        }
    }

    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.get().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn a_circular_chain_of_causes_is_printed_once_and_ends() {
        let first = FIRST.get_or_init(|| Circle("no luck", &SECOND));
        SECOND.get_or_init(|| Circle("the disk", &FIRST));
        assert_eq!(chain_text(first, 1000, |_| false), "no luck: the disk");
        assert_eq!(causes(first).count(), MAX_CAUSES + 1);
    }

    #[test]
    fn an_error_that_never_stops_talking_is_cut_off() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    out.write_str("and on ")?;
                }
            }
        }
        impl Error for Endless {}
        assert!((100..120).contains(&chain_text(&Endless, 100, |_| false).len()));
    }

    #[test]
    fn a_cause_that_says_nothing_hides_none_behind_it() {
        static END: OnceLock<Circle> = OnceLock::new();
        static SILENT: OnceLock<Circle> = OnceLock::new();
        static NONE: OnceLock<Circle> = OnceLock::new();
        END.get_or_init(|| Circle("the disk", &NONE));
        SILENT.get_or_init(|| Circle("", &END));
        assert_eq!(chain_text(&Circle("no luck", &SILENT), 1000, |_| false), "no luck: the disk");
    }

    #[test]
    fn the_causes_of_an_error_that_tells_them_itself_are_not_told_again() {
        static NONE: OnceLock<Circle> = OnceLock::new();
        static DISK: OnceLock<Circle> = OnceLock::new();
        static TELLS: OnceLock<Circle> = OnceLock::new();
        DISK.get_or_init(|| Circle("the disk", &NONE));
        TELLS.get_or_init(|| Circle("no luck: the disc", &DISK));
        let text = chain_text(&Circle("the job", &TELLS), 1000, |cause| cause.to_string().starts_with("no luck"));
        assert_eq!(text, "the job: no luck: the disc");
    }
}
