//! The text of a statement, from its file in `sql/queries/`.
//!
//! Only `store`, and `postgres` for transactions, may use it: see `tests/it/house/architecture.rs`.

/// The text of `sql/queries/NAME.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/queries/", $name, ".sql"))
    };
}
pub(crate) use sql;
