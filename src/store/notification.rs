//! The payload of a notification: a hint, never data.

use std::str::FromStr;

use super::idle_lock::IdleKey;

/// The meaning of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notification {
    /// A job of the queue is due.
    Wake { queue: String },
    /// Jobs of the queue are waiting again, perhaps behind the cursors.
    Back { queue: String },
    /// A worker has released the idle lock with this key.
    IdleLockReleased { key: IdleKey },
    /// A job of the queue will be due at this time, in ms since 1970 by the database's clock.
    Due { queue: String, at_ms: i64 },
    /// A cancel of a running job was requested.
    Cancel,
}

/// A payload that none of our functions sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

impl FromStr for Notification {
    type Err = Unknown;

    fn from_str(payload: &str) -> Result<Self, Unknown> {
        let (verb, rest) = payload.split_once(' ').unwrap_or((payload, ""));
        match verb {
            "wake" if !rest.is_empty() => Ok(Self::Wake { queue: rest.to_owned() }),
            "back" if !rest.is_empty() => Ok(Self::Back { queue: rest.to_owned() }),
            "idle" => Ok(Self::IdleLockReleased { key: rest.parse().map_err(|_| Unknown)? }),
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
        assert_eq!("idle 17".parse(), Ok(Notification::IdleLockReleased { key: 17 }));
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
