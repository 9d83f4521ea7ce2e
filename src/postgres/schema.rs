//! The name of the schema that holds a queue's tables and functions.
//!
//! Several queues may share a database, each in a schema of its own. Nothing of one is used by another: tables,
//! functions, channel, advisory locks and roles carry the schema's name.
//!
//! Promise: this name is the only text from outside that becomes part of a statement, and [`Schema::new`] is the only
//! way to make one. Not by `search_path`: a transaction pooler would leak that setting to other clients.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;

/// The longest name of a schema, in bytes. With it, the names of the roles fit into Postgres' limit of 63.
pub const MAX_SCHEMA_LEN: usize = 40;

/// The default. The files in `sql/` contain this name, so that they are readable and runnable.
const DEFAULT: &str = "postrider";

/// The roles of `sql/roles.sql` are named after the schema. Other names that begin like it are not.
const ROLES: [&str; 3] = ["_enqueue", "_worker", "_read"];

/// Words that SQL accepts as a name only in quotes.
const RESERVED: &str = "\
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate \
    collation column concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end \
    except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into \
    is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on \
    only or order outer overlaps placing primary references returning right select session_user similar some \
    symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when \
    where window with";

/// Schemas that are not a queue's own.
const TAKEN: [&str; 2] = ["information_schema", "public"];

/// The name of a queue's schema. Default: `postrider`.
///
/// Cheap to clone.
///
/// ```
/// use postrider::Schema;
///
/// assert_eq!(Schema::default().name(), "postrider");
/// # Ok::<(), postrider::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Schema(Option<Arc<str>>);

impl Schema {
    /// A schema of this name: `[a-z_][a-z0-9_]{0,39}`, no reserved word of SQL, not `public`, and nothing that begins
    /// with `pg_`.
    ///
    /// ```
    /// # use postrider::Schema;
    /// assert_eq!(Schema::new("billing")?.name(), "billing");
    /// assert!(Schema::new("billing; DROP TABLE invoice").is_err());
    /// # Ok::<(), postrider::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn new(name: &str) -> Result<Self, Error> {
        check(name)?;
        Ok(Self((name != DEFAULT).then(|| name.into())))
    }

    /// The name.
    ///
    /// ```
    /// assert_eq!(postrider::Schema::new("billing")?.name(), "billing");
    /// # Ok::<(), postrider::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_deref().unwrap_or(DEFAULT)
    }

    /// A migration for this schema.
    #[cfg(feature = "migrate")]
    pub(crate) fn in_migration(&self, text: &str) -> String {
        self.0.as_ref().map_or_else(|| text.to_owned(), |name| renamed(text, name))
    }

    /// A statement of `sql/` for this schema.
    pub(crate) fn statement(&self, text: &'static str) -> Cow<'static, str> {
        match &self.0 {
            None => Cow::Borrowed(text),
            Some(name) => Cow::Owned(renamed(text, name)),
        }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({:?})", self.name())
    }
}

impl FromStr for Schema {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

fn check(name: &str) -> Result<(), Error> {
    let refused = |problem: &str| Err(Error::invalid("schema", format!("{name:?} {problem}")));
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    match name.as_bytes() {
        [] => refused("is empty"),
        bytes if bytes.len() > MAX_SCHEMA_LEN => refused(&format!("is longer than {MAX_SCHEMA_LEN} bytes")),
        [first, rest @ ..]
            if !is_first(*first) || !rest.iter().all(|byte| is_first(*byte) || byte.is_ascii_digit()) =>
        {
            refused("must be lower-case letters, digits and _, and not start with a digit")
        }
        _ if name.starts_with("pg_") => refused("starts with pg_, which Postgres keeps for itself"),
        _ if TAKEN.contains(&name) => refused("is not a schema of its own: choose another"),
        _ if RESERVED.split(' ').any(|word| word == name) => refused("is a reserved word of SQL: choose another"),
        _ => Ok(()),
    }
}

/// `text` with the default name replaced wherever it stands alone, or is the beginning of a role's name.
fn renamed(text: &str, name: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut result = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(at) = rest.find(DEFAULT) {
        let (before, found) = rest.split_at(at);
        let after = &found[DEFAULT.len()..];
        let begins = !before.ends_with(is_word);
        let role = ROLES.iter().find(|role| after.strip_prefix(**role).is_some_and(|end| !end.starts_with(is_word)));
        let ends = !after.starts_with(is_word) || role.is_some();
        result.push_str(before);
        result.push_str(if begins && ends { name } else { DEFAULT });
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_names_are_accepted() {
        for good in ["postrider", "a", "_", "billing_2", "postrider_2", &"x".repeat(40)] {
            assert_eq!(Schema::new(good).unwrap().name(), good);
        }
        for bad in [
            "",
            "2a",
            "A",
            "Billing",
            "a-b",
            "a b",
            "a.b",
            "a\"b",
            "a'b",
            "ä",
            "pg_x",
            "public",
            "information_schema",
            "user",
            "select",
            &"x".repeat(41),
            "a;b",
            "a\0",
        ] {
            assert!(matches!(Schema::new(bad), Err(Error::Invalid { field: "schema", .. })), "{bad}");
        }
        assert_eq!(Schema::new("postrider").unwrap(), Schema::default());
    }

    #[test]
    fn the_name_is_replaced_where_it_is_the_schema_and_nowhere_else() {
        let schema = Schema::new("billing").unwrap();
        for (text, expected) in [
            ("SELECT * FROM postrider.job", "SELECT * FROM billing.job"),
            ("pg_notify('postrider', $1)", "pg_notify('billing', $1)"),
            ("GRANT USAGE ON SCHEMA postrider TO postrider_read;", "GRANT USAGE ON SCHEMA billing TO billing_read;"),
            ("'postrider.' || name", "'billing.' || name"),
            ("public.postrider_app_migrations", "public.postrider_app_migrations"),
            ("postrider_readers my_postrider.x postrider2", "postrider_readers my_postrider.x postrider2"),
            ("postrider", "billing"),
            ("", ""),
        ] {
            assert_eq!(schema.statement(text), expected);
            assert_eq!(Schema::default().statement(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_refused_or_needs_no_quotes(name in "[ -~]{0,50}") {
            if let Ok(schema) = Schema::new(&name) {
                prop_assert!(schema.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
                prop_assert!(schema.name().len() <= MAX_SCHEMA_LEN);
            }
        }
    }
}
