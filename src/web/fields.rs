//! The fields of a JSON object, read one by one so that each error names its field.
//!
//! Promises: unknown fields, duplicate fields and wrong types are refused by name, and unknown fields are not stored.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::StatusCode;
use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::problem::Problem;

/// A JSON object whose fields are taken one by one.
#[derive(Debug)]
pub(crate) struct Fields(BTreeMap<&'static str, Box<RawValue>>);

impl Fields {
    /// Parses an object that may have only the fields `known`.
    pub fn parse(body: &[u8], known: &'static [&'static str]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Problem::bad_request(format!("the body is not UTF-8 from byte {}", error.valid_up_to()))
        })?;
        let mut refused = None;
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = (&mut reader).deserialize_map(Reader { known, refused: &mut refused });
        match (read.and_then(|fields| reader.end().map(|()| fields)), refused) {
            (_, Some(problem)) => Err(problem),
            (Ok(fields), None) => Ok(Self(fields)),
            (Err(error), None) => Err(Problem::bad_request(format!("the body is not a JSON object: {error}"))),
        }
    }

    /// A string. None if it is missing or null.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.option(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(name, "a text", &other)),
        }
    }

    /// An integer. None if it is missing or null.
    pub fn integer(&mut self, name: &'static str) -> Result<Option<i64>, Problem> {
        match self.option(name)? {
            None => Ok(None),
            Some(Value::Number(number)) => whole(&number)
                .map(Some)
                .ok_or_else(|| Problem::invalid(name, format!("is {number}, not a whole number in range"))),
            Some(other) => Err(wrong_type(name, "a whole number", &other)),
        }
    }

    /// The text of any JSON value, including null. None if it is missing.
    pub fn raw(&mut self, name: &'static str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    fn any(&mut self, name: &'static str) -> Result<Option<Value>, Problem> {
        self.0
            .remove(name)
            .map(|raw| serde_json::from_str(raw.get()))
            .transpose()
            .map_err(|error| Problem::invalid(name, format!("is not JSON that can be stored: {error}")))
    }

    fn option(&mut self, name: &'static str) -> Result<Option<Value>, Problem> {
        Ok(self.any(name)?.filter(|value| !value.is_null()))
    }
}

/// An integer, also when it is written with a point: in JSON `2.0` is `2`.
fn whole(number: &Number) -> Option<i64> {
    /// Up to here each integer is a distinct float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(integer) = number.as_i64() {
        return Some(integer);
    }
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT)?;
    format!("{float:.0}").parse().ok()
}

/// 400 for a required field.
pub(crate) fn missing(name: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("{name} is missing")).with_field(name)
}

fn wrong_type(name: &'static str, wanted: &str, found: &Value) -> Problem {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Problem::invalid(name, format!("must be {wanted}, not {found}"))
}

struct Reader<'r> {
    known: &'static [&'static str],
    /// Why parsing stopped, if a field is to blame.
    refused: &'r mut Option<Problem>,
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = BTreeMap<&'static str, Box<RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let Some(known) = self.known.iter().copied().find(|known| *known == name) else {
                let problem = format!("is unknown: the fields are {}", self.known.join(", "));
                *self.refused = Some(Problem::invalid(name, problem));
                return Err(A::Error::custom("unknown field"));
            };
            if fields.insert(known, map.next_value()?).is_some() {
                *self.refused = Some(Problem::invalid(known, "is given twice"));
                return Err(A::Error::custom("field given twice"));
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KNOWN: &[&str] = &["name", "count"];

    #[test]
    fn fields_are_read_by_type_and_null_is_nothing() -> Result<(), Problem> {
        let mut fields = Fields::parse(br#"{"name": "a", "count": 7}"#, KNOWN)?;
        assert_eq!(fields.text("name")?.as_deref(), Some("a"));
        assert_eq!(fields.integer("count")?, Some(7));
        for (text, number) in [("2.0", 2), ("1e3", 1000), ("-0.0", 0), ("9223372036854775807", i64::MAX)] {
            let mut fields = Fields::parse(format!(r#"{{"count": {text}}}"#).as_bytes(), KNOWN)?;
            assert_eq!(fields.integer("count")?, Some(number), "{text}");
        }
        let mut fields = Fields::parse(br#"{"name": null}"#, KNOWN)?;
        assert_eq!((fields.text("name")?, fields.integer("count")?), (None, None));
        Ok(())
    }

    #[test]
    fn whatever_else_is_refused() {
        for bad in ["", "[]", "1", "{", "{}x", r#"{"a": 1}"#, r#"{"name": 1, "name": 1}"#, r#"{"name": }"#] {
            assert!(Fields::parse(bad.as_bytes(), KNOWN).is_err(), "{bad}");
        }
        assert!(Fields::parse(b"{\"name\": \"\xff\"}", KNOWN).is_err());
        for bad in ["1.5", "1e-3", "1e300", "99999999999999999999", "\"1\"", "true", "[]"] {
            let body = format!(r#"{{"count": {bad}}}"#);
            let read = Fields::parse(body.as_bytes(), KNOWN).and_then(|mut fields| fields.integer("count"));
            assert!(read.is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in any::<Vec<u8>>()) {
            let _ = Fields::parse(&body, KNOWN);
        }
    }
}
