//! The value of `--queues`: the queues that a worker serves, each with its concurrency.

use std::str::FromStr;

use crate::job::check_queue;
use crate::worker::{DEFAULT_CONCURRENCY, MAX_CONCURRENCY};

/// The most queues of one worker.
const MAX_QUEUES: usize = 1_000;

/// `NAME[:CONCURRENCY],…`, at least one, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedQueues(pub Vec<ServedQueue>);

/// One queue of [`ServedQueues`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedQueue {
    pub name: String,
    pub concurrency: usize,
}

impl FromStr for ServedQueues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut queues: Vec<ServedQueue> = Vec::new();
        for entry in text.split(',') {
            let queue: ServedQueue = entry.trim().parse()?;
            if queues.iter().any(|known| known.name == queue.name) {
                return Err(format!("queue {:?} is named twice", queue.name));
            }
            if queues.len() == MAX_QUEUES {
                return Err(format!("more than {MAX_QUEUES} queues"));
            }
            queues.push(queue);
        }
        Ok(Self(queues))
    }
}

impl FromStr for ServedQueue {
    type Err = String;

    fn from_str(entry: &str) -> Result<Self, String> {
        let (name, concurrency) = match entry.split_once(':') {
            Some((name, number)) => (name, concurrency(number)?),
            None => (entry, DEFAULT_CONCURRENCY),
        };
        check_queue(name).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), concurrency })
    }
}

fn concurrency(number: &str) -> Result<usize, String> {
    match number.parse() {
        Ok(concurrency @ 1..=MAX_CONCURRENCY) => Ok(concurrency),
        _ => Err(format!("concurrency {number:?} is not a number from 1 to {MAX_CONCURRENCY}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slots(name: &str, concurrency: usize) -> ServedQueue {
        ServedQueue { name: name.to_owned(), concurrency }
    }

    #[test]
    fn names_with_and_without_concurrency() {
        assert_eq!("default:100".parse(), Ok(ServedQueues(vec![slots("default", 100)])));
        assert_eq!("mail, slow:2".parse(), Ok(ServedQueues(vec![slots("mail", 100), slots("slow", 2)])));
    }

    #[test]
    fn empty_double_and_out_of_range_entries_are_refused() {
        for bad in ["", ",", "a,", "a,a", "a:1,a:2", "a:", "a:0", "a:10001", "a:-1", "a:1.5", "a:b", "a b", "a:1:2"] {
            assert!(bad.parse::<ServedQueues>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_reads_the_same_when_written_again(text in r"[a-c0-9:, _./-]{0,30}|\PC{0,30}") {
            if let Ok(ServedQueues(queues)) = text.parse::<ServedQueues>() {
                let entries: Vec<String> = queues.iter().map(|queue| format!("{}:{}", queue.name, queue.concurrency)).collect();
                prop_assert_eq!(entries.join(",").parse(), Ok(ServedQueues(queues)));
            }
        }
    }
}
