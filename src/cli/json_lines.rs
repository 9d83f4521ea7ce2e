//! `--json`: one object per line (NDJSON), for jq and other programs.

use serde::Serialize;

use super::failure::Failure;
use crate::program::visible::{is_unsafe, json_escape};

/// The value on one line.
pub(super) fn line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::Failed(format!("cannot write a line of JSON: {error}")))?;
    Ok(escaped(text))
}

/// The same JSON, without characters that a terminal would act on. JSON has them only inside strings, where any
/// character may be written as `\uXXXX`.
fn escaped(text: String) -> String {
    if !text.contains(is_unsafe) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.push_str(&json_escape(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_means_the_same_json_and_is_safe_to_print() {
        let value = serde_json::json!({ "error": "a\u{7f}\u{9b}\u{202e}\u{2028}\n\u{1b}\u{e0041}b", "é": "世界" });
        let line = line(&value).unwrap();
        assert!(!line.contains(is_unsafe), "{line:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
