//! Parameters of a path and of a query.
//!
//! Promises: percent-encoding is decoded strictly (bytes that are not UTF-8 are refused, not replaced), and unknown
//! or duplicate parameters are refused by name.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// The path parameters, as the route names them.
pub(crate) struct PathParameters(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for PathParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(parameters)) => Ok(Self(parameters)),
            Err(refused) => Err(Problem::bad_request(format!("the path cannot be read: {}", refused.body_text()))),
        }
    }
}

impl PathParameters {
    /// A decoded string.
    pub fn text(&mut self, name: &'static str) -> Result<String, Problem> {
        // Missing only if a route and its handler disagree.
        self.0.remove(name).ok_or_else(|| Problem::invalid(name, "is missing from the path"))
    }

    /// A value. `wanted` describes it, e.g. "a number".
    pub fn parsed<T: FromStr>(&mut self, name: &'static str, wanted: &str) -> Result<T, Problem> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Problem::invalid(name, format!("is {text:?}, not {wanted}")))
    }
}

/// The query parameters. An empty one counts as missing.
pub(crate) struct QueryParameters(BTreeMap<&'static str, String>);

impl QueryParameters {
    /// Parses a query that may have only the parameters `known`.
    pub fn parse(query: Option<&str>, known: &'static [&'static str]) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or_else(|| Problem::bad_request("the query is not UTF-8"))?;
            let Some(known) = known.iter().copied().find(|known| *known == name) else {
                let accepted = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
                return Err(Problem::invalid(name, format!("is an unknown parameter: known are {accepted}")));
            };
            let value = decoded(value).ok_or_else(|| Problem::invalid(known, "is not UTF-8"))?;
            if parameters.insert(known, value).is_some() {
                return Err(Problem::invalid(known, "is given twice"));
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }

    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.0.remove(name)
    }

    /// A value. `wanted` describes it, e.g. "a number".
    pub fn parsed<T: FromStr>(&mut self, name: &'static str, wanted: &str) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| Problem::invalid(name, format!("is {text:?}, not {wanted}"))))
            .transpose()
    }
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[&str] = &["state", "limit"];

    #[test]
    fn parameters_are_decoded_and_empty_ones_count_as_not_given() -> Result<(), Problem> {
        let mut query = QueryParameters::parse(Some("state=a%20b+c&limit="), KNOWN)?;
        assert_eq!(query.text("state").as_deref(), Some("a b c"));
        assert_eq!(query.parsed::<u32>("limit", "a number")?, None);
        Ok(())
    }

    #[test]
    fn unknown_repeated_and_undecodable_ones_are_refused() {
        for bad in ["x=1", "state=a&state=b", "state=%ff", "%ff=1", "limit&x"] {
            assert!(QueryParameters::parse(Some(bad), KNOWN).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in any::<String>()) {
            let _ = QueryParameters::parse(Some(&query), KNOWN);
        }
    }
}
