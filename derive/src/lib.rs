//! The derive macro of the trait `postrider::Job`, re-exported by postrider with the feature `derive`.
//!
//! Promise: what the library would refuse when a job is enqueued (a name, a number) is an error of the compiler here, at
//! the place where it stands.

mod options;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

use crate::options::Options;

/// Implements `Job`: the kind and its defaults. The type also needs `Serialize` and `Deserialize` of serde.
///
/// | in `#[job(…)]` | sets |
/// | --- | --- |
/// | `kind = "send_mail"` | `KIND`. Needed: a kind that follows the name of the type would orphan its jobs when the type is renamed |
/// | `queue = "mail"` | `QUEUE` |
/// | `priority = "urgent"`, `"normal"`, `"low"`, `"idle"` | `PRIORITY` |
/// | `max_attempts = 5` | `MAX_ATTEMPTS`, 1 to 10,000 |
/// | `timeout = "30s"` | `TIMEOUT`: a number and a unit, such as `500ms`, `5m`, `1h 30m` |
/// | `keep_completed = false` | `KEEP_COMPLETED` |
/// | `retry_after = path` | `retry_after`: the function of this path, `fn(u32) -> Option<Duration>` |
#[proc_macro_derive(Job, attributes(job))]
pub fn derive_job(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implementation(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn implementation(input: &DeriveInput) -> syn::Result<TokenStream> {
    let items = Options::of(input)?.items();
    let name = &input.ident;
    let (generics, arguments, conditions) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::postrider::Job for #name #arguments #conditions {
            #items
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a struct with these attributes.
    fn error(attributes: &str) -> String {
        let input =
            syn::parse_str(&format!("{attributes} struct SendMail {{ to: String }}")).unwrap_or_else(|e| panic!("{e}"));
        implementation(&input).map_or_else(|error| error.to_string(), |tokens| panic!("accepted: {tokens}"))
    }

    #[test]
    fn what_is_missing_unknown_or_out_of_range_is_an_error_that_says_so() {
        for (attributes, text) in [
            ("", "#[job(kind = \"…\")] is missing"),
            ("#[job(queue = \"mail\")]", "#[job(kind = \"…\")] is missing"),
            ("#[job(kind = \"send mail\")]", "kind is no name"),
            ("#[job(kind = \"\")]", "kind is no name"),
            ("#[job(kind = \"k\", kind = \"k\")]", "kind is set twice"),
            ("#[job(kind = \"k\")] #[job(kind = \"k\")]", "kind is set twice"),
            ("#[job(kind = \"k\", queue = \"-x\")]", "queue is no name"),
            ("#[job(kind = \"k\", priority = \"high\")]", "priority is \"high\""),
            ("#[job(kind = \"k\", max_attempts = 0)]", "max_attempts is 0"),
            ("#[job(kind = \"k\", max_attempts = 10001)]", "max_attempts is 10001"),
            ("#[job(kind = \"k\", timeout = \"soon\")]", "timeout is \"soon\""),
            ("#[job(kind = \"k\", timeout = \"0s\")]", "timeout is \"0s\""),
            ("#[job(kind = \"k\", timeout = 30)]", "expected string literal"),
            ("#[job(kind = \"k\", quue = \"mail\")]", "quue is no option"),
        ] {
            let error = error(attributes);
            assert!(error.contains(text), "{attributes}: {error}");
        }
        let long = format!("#[job(kind = \"{}\")]", "k".repeat(129));
        assert!(error(&long).contains("kind is no name"));
    }
}
