//! The text of a notification: a hint, never data that matters.

use std::str::FromStr;

use super::idle_lock::IdleKey;

/// The channel on which workers listen.
pub(crate) const CHANNEL: &str = "postrider";

/// What a notification tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// A job of the queue is due.
    Wake { queue: String },
    /// Jobs of the queue came back: they may lie behind the place from which claims look.
    Back { queue: String },
    /// Whoever held the idle lock with this key has let it go.
    Vacated { key: IdleKey },
    /// A job of the queue will be due at this time, in ms since 1970 by the database's clock.
    Due { queue: String, at_ms: i64 },
    /// Somebody asked for a running job to be cancelled.
    Cancel,
}

/// A notification that none of our functions writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

impl FromStr for Notification {
    type Err = Unknown;

    fn from_str(payload: &str) -> Result<Self, Unknown> {
        let (verb, rest) = payload.split_once(' ').unwrap_or((payload, ""));
        match verb {
            "wake" if !rest.is_empty() => Ok(Self::Wake { queue: rest.to_owned() }),
            "back" if !rest.is_empty() => Ok(Self::Back { queue: rest.to_owned() }),
            "idle" => Ok(Self::Vacated { key: rest.parse().map_err(|_| Unknown)? }),
            "due" => {
                let (at, queue) = rest.split_once(' ').ok_or(Unknown)?;
                let at_ms = at.parse().map_err(|_| Unknown)?;
                Ok(Self::Due { queue: queue.to_owned(), at_ms })
            }
            "cancel" if rest.is_empty() => Ok(Self::Cancel),
            _ => Err(Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_sql_functions_write_is_read() {
        assert_eq!("wake default".parse(), Ok(Notification::Wake { queue: "default".into() }));
        assert_eq!("back default".parse(), Ok(Notification::Back { queue: "default".into() }));
        assert_eq!("idle 17".parse(), Ok(Notification::Vacated { key: 17 }));
        assert_eq!("due 17 a/b".parse(), Ok(Notification::Due { queue: "a/b".into(), at_ms: 17 }));
        assert_eq!("cancel".parse(), Ok(Notification::Cancel));
    }

    proptest! {
        #[test]
        fn anything_else_is_refused_without_a_panic(payload in any::<String>()) {
            let _ = payload.parse::<Notification>();
        }
    }
}
