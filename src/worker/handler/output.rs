//! The value that a handler returns.
//!
//! Promises: an output is valid `jsonb` within its limit, so that it never fails the statement that records outcomes. A
//! handler without a value costs nothing.

use std::any::TypeId;

use serde::Serialize;

use crate::error::Error;
use crate::job::{CheckedJson, JsonUse};
use crate::worker::JobError;

/// The largest output by default, in bytes of JSON text: 64 KiB.
pub const DEFAULT_MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// The output of a value, of at most so many bytes. None for `null`, the value of `()`.
pub(super) fn of<T: Serialize + 'static>(value: &T, max_bytes: usize) -> Result<Option<CheckedJson>, JobError> {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        return Ok(None);
    }
    let output = json(value, max_bytes).map_err(JobError::retry)?;
    Ok((output.as_str() != "null").then_some(output))
}

/// A value as an output.
pub(in crate::worker) fn json(value: &impl Serialize, max_bytes: usize) -> Result<CheckedJson, Error> {
    CheckedJson::of(value, JsonUse { field: "output", max_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_no_output_and_a_value_that_cannot_be_stored_fails_the_attempt() {
        let text = |value: Result<Option<CheckedJson>, JobError>| value.unwrap().map(|json| json.as_str().to_owned());
        assert_eq!(text(of(&(), 100)), None);
        assert_eq!(text(of(&None::<u8>, 100)), None);
        assert_eq!(text(of(&7, 1)), Some("7".to_owned()));
        assert_eq!(text(of(&"x".repeat(98), 100)).unwrap().len(), 100);
        for refused in ["x".repeat(99), "a\0b".to_owned()] {
            match of(&refused, 100) {
                Err(JobError::Retry { error, after: None }) => assert!(error.to_string().starts_with("output ")),
                other => panic!("{other:?}"),
            }
        }
    }
}
