//! The value that a handler returns.
//!
//! Promises: an output is valid `jsonb` within its limit, so that it never fails the statement that records outcomes. A
//! handler without a value costs nothing.

use std::any::TypeId;

use serde::Serialize;

use crate::error::Error;
use crate::job::{CheckedJson, JsonUse};
use crate::worker::JobError;

/// The largest output, in bytes of JSON text: 64 KiB.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

const OUTPUT: JsonUse = JsonUse { field: "output", max_bytes: MAX_OUTPUT_BYTES };

/// The output of a value. None for `null`, the value of `()`.
pub(super) fn of<T: Serialize + 'static>(value: &T) -> Result<Option<CheckedJson>, JobError> {
    if TypeId::of::<T>() == TypeId::of::<()>() {
        return Ok(None);
    }
    let output = json(value).map_err(JobError::retry)?;
    Ok((output.as_str() != "null").then_some(output))
}

/// A value as an output.
pub(in crate::worker) fn json(value: &impl Serialize) -> Result<CheckedJson, Error> {
    CheckedJson::of(value, OUTPUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_no_output_and_a_value_that_cannot_be_stored_fails_the_attempt() {
        let text = |value: Result<Option<CheckedJson>, JobError>| value.unwrap().map(|json| json.as_str().to_owned());
        assert_eq!(text(of(&())), None);
        assert_eq!(text(of(&None::<u8>)), None);
        assert_eq!(text(of(&7)), Some("7".to_owned()));
        assert_eq!(text(of(&"x".repeat(MAX_OUTPUT_BYTES - 2))).unwrap().len(), MAX_OUTPUT_BYTES);
        for refused in ["x".repeat(MAX_OUTPUT_BYTES - 1), "a\0b".to_owned()] {
            match of(&refused) {
                Err(JobError::Retry { error, after: None }) => assert!(error.to_string().starts_with("output ")),
                other => panic!("{other:?}"),
            }
        }
    }
}
