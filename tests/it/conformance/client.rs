//! What each way to the queue offers, in the words of `conformance/README.md`.

use serde_json::{Map, Value};

/// The options of a call.
pub type Options = Map<String, Value>;

/// One way to the queue.
pub trait Client {
    /// Whether it has no such operation, or lacks one of these options.
    fn lacks(&self, call: &str, options: &Options) -> bool;

    /// Whether its calls can share a transaction.
    fn has_transactions(&self) -> bool {
        true
    }

    /// Calls an operation. An error is its text.
    async fn call(&mut self, call: &str, options: &Options) -> Result<Value, String>;

    /// `begin`, `commit` or `rollback`.
    async fn transaction(&mut self, statement: &str);
}

/// The option as a number.
pub fn number(options: &Options, name: &str) -> i64 {
    options[name].as_i64().unwrap_or_else(|| panic!("{name} is a number"))
}

/// The option as text.
pub fn text<'o>(options: &'o Options, name: &str) -> Option<&'o str> {
    options.get(name).map(|value| value.as_str().unwrap_or_else(|| panic!("{name} is a text")))
}
