//! Prints the public API of the library, one item a line, for `scripts/test --only api`.
//!
//! Its argument is the JSON that rustdoc writes.

use std::error::Error;

use rustdoc_types::FORMAT_VERSION;
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("the path of rustdoc's JSON is missing")?;
    let json: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    // JSON of another format may be read without an error, and wrongly.
    let format = json["format_version"].as_u64().ok_or("this is not the JSON that rustdoc writes")?;
    if format != u64::from(FORMAT_VERSION) {
        return Err(format!(
            "this compiler writes rustdoc JSON of format {format}, and the crate public-api reads format \
             {FORMAT_VERSION}: change the versions of public-api and rustdoc-types in Cargo.toml, or the compiler"
        )
        .into());
    }
    let api = public_api::Builder::from_rustdoc_json(path)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    for item in api.items() {
        println!("{item}");
    }
    Ok(())
}
