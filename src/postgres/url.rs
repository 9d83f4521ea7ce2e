//! Parses a database URL or a `key=value` string into a list of options.
//!
//! The grammar is libpq's. Promises: never panics; no error repeats the password, or text that may be part of an
//! unquoted one. This module handles the syntax of options, not their meaning.

/// The schemes of a URL, as in libpq.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    key: String,
    value: String,
    /// Whether it follows a password, so that it may be part of an unquoted one.
    after_password: bool,
}

impl Setting {
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// The key for a message. Hidden unless it certainly is a key.
    pub fn shown_key(&self) -> String {
        let is_a_name = |key: &str| key.len() <= 40 && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if self.after_password || !is_a_name(&self.key) {
            "an option (its name is not shown, it may be part of an unquoted password)".into()
        } else {
            self.key.clone()
        }
    }

    /// The value for a message. Hidden unless it certainly is no secret.
    pub fn shown_value(&self) -> String {
        let is_a_word = |value: &str| value.len() <= 40 && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if self.after_password || !is_a_word(&self.value) { "its value".into() } else { format!("{:?}", self.value) }
    }
}

/// All options of a string, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    /// Parses a URL or a `key=value` string. The error is worded to follow the name of the variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty".into());
        }
        if let Some(rest) = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
            return parse_url(rest);
        }
        let before_option = text.split_once('=').map_or(text, |(key, _)| key);
        if before_option.contains("://") {
            return Err("is a URL that begins with neither postgres:// nor postgresql://".into());
        }
        parse_pairs(text)
    }

    /// Removes and returns an option. If it occurs several times, the last one counts.
    pub fn take(&mut self, key: &str) -> Option<Setting> {
        let (taken, kept) = std::mem::take(&mut self.0).into_iter().partition(|setting| setting.key == key);
        self.0 = kept;
        let taken: Vec<Setting> = taken;
        taken.into_iter().next_back()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    fn push(&mut self, key: String, value: String) -> Result<(), String> {
        if value.contains('\0') {
            return Err("holds a NUL character".into());
        }
        let after_password = self.0.iter().any(|setting| setting.after_password || setting.key == "password");
        self.0.push(Setting { key, value, after_password });
        Ok(())
    }
}

/// The URL or `key=value` string with another database.
#[cfg(feature = "testing")]
pub(crate) fn with_dbname(text: &str, name: &str) -> String {
    let text = text.trim();
    let Some(scheme) = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)) else {
        // The last one counts.
        return format!("{text} dbname={name}");
    };
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let server = address[scheme.len()..].find('/').map_or(address, |at| &address[..scheme.len() + at]);
    let others: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("dbname=")).collect();
    if others.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{}", others.join("&")) }
}

/// Reads `[user[:password]@][host[:port],…][/dbname][?key=value&…]`.
fn parse_url(text: &str) -> Result<Settings, String> {
    let authority = &text[..text.find('/').unwrap_or(text.len())];
    let (credentials, rest) = match authority.split_once('@') {
        Some((credentials, hosts)) if hosts.contains('@') || credentials.contains('?') && credentials.contains('=') => {
            return Err("cannot be read: write an @ in a user or password as %40, a ? as %3F".into());
        }
        Some((credentials, _)) => (Some(credentials), &text[credentials.len() + 1..]),
        None => (None, text),
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, dbname) = address.split_once('/').unwrap_or((address, ""));
    if dbname.contains('@') {
        return Err("has an @ behind a /: write a / in a user or password as %2F, an @ in a database as %40".into());
    }

    let mut settings = Settings::default();
    parse_hosts(hosts, &mut settings)?;
    if !dbname.is_empty() {
        settings.push("dbname".into(), percent_decoded(dbname, "the database's name")?)?;
    }
    parse_query(query, &mut settings)?;
    // Added last: the password certainly ends at the @, so no other option may count as part of it. Yet the query
    // overrides user and password.
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        let overridden = |key: &str| settings.iter().any(|setting| setting.key == key);
        let (has_user, has_password) = (overridden("user"), overridden("password"));
        if !user.is_empty() && !has_user {
            settings.push("user".into(), percent_decoded(user, "the user")?)?;
        }
        if let Some(password) = password
            && !has_password
        {
            settings.push("password".into(), percent_decoded(password, "the password")?)?;
        }
    }
    Ok(settings)
}

fn parse_hosts(text: &str, settings: &mut Settings) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for chunk in text.split(',') {
        let (host, port) = match chunk.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or("has a host with [ but no ]")?;
                let port = match rest.strip_prefix(':') {
                    Some(port) => port,
                    None if rest.is_empty() => "",
                    None => return Err("has something other than a port behind a host in [ ]".into()),
                };
                (host, port)
            }
            None => chunk.split_once(':').unwrap_or((chunk, "")),
        };
        hosts.push(percent_decoded(host, "a host")?);
        ports.push(percent_decoded(port, "a port")?);
    }
    settings.push("host".into(), hosts.join(","))?;
    if ports.iter().any(|port| !port.is_empty()) {
        settings.push("port".into(), ports.join(","))?;
    }
    Ok(())
}

fn parse_query(text: &str, settings: &mut Settings) -> Result<(), String> {
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("has a query parameter without =")?;
        let key = percent_decoded(key, "the name of a query parameter")?;
        let value = percent_decoded(value, "the value of a query parameter")?;
        settings.push(key, value)?;
    }
    Ok(())
}

fn percent_decoded(text: &str, part: &str) -> Result<String, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        match (bytes.next().and_then(hex_digit), bytes.next().and_then(hex_digit)) {
            (Some(high), Some(low)) => decoded.push(high << 4 | low),
            _ => return Err(format!("has a % in {part} without two hex digits behind it: write a % as %25")),
        }
    }
    String::from_utf8(decoded).map_err(|_| format!("has something in {part} that is not UTF-8"))
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Reads `key = value key = 'quoted \' value' …`.
fn parse_pairs(text: &str) -> Result<Settings, String> {
    let mut settings = Settings::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let value = behind.trim_start().strip_prefix('=').ok_or(
            "is neither a postgres:// URL nor key=value pairs: an option has no =, or a value with spaces no quotes",
        )?;
        let (value, behind) = parse_value(value.trim_start())?;
        settings.push(key.to_owned(), value)?;
        rest = behind.trim_start();
    }
    Ok(settings)
}

/// Returns a value and the text after it.
fn parse_value(text: &str) -> Result<(String, &str), String> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err("has a value whose closing ' is missing".into()) } else { Ok((value, "")) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let settings = Settings::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        let mut pairs: Vec<_> = settings.0.into_iter().map(|setting| (setting.key, setting.value)).collect();
        pairs.sort();
        pairs
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_url_is_taken_apart_and_decoded() {
        assert_eq!(
            pairs("postgres://ada:p%40ss%2F%25@db1:5433,[::1],db2/my%20db?sslmode=verify-full&options=-c%20a%3Db"),
            owned(&[
                ("dbname", "my db"),
                ("host", "db1,::1,db2"),
                ("options", "-c a=b"),
                ("password", "p@ss/%"),
                ("port", "5433,,"),
                ("sslmode", "verify-full"),
                ("user", "ada"),
            ])
        );
        assert_eq!(pairs("postgresql:///db?host=/run/pg"), owned(&[("dbname", "db"), ("host", "/run/pg")]));
        assert_eq!(
            pairs("postgres://%2Frun%2Fpg:1/db"),
            owned(&[("dbname", "db"), ("host", "/run/pg"), ("port", "1")])
        );
        assert_eq!(pairs("postgres://"), vec![]);
    }

    #[test]
    fn pairs_may_be_spaced_quoted_and_escaped() {
        assert_eq!(
            pairs(r"host=a  user = 'o\'neil \\' password='' options=a\ b dbname="),
            owned(&[("dbname", ""), ("host", "a"), ("options", "a b"), ("password", ""), ("user", r"o'neil \")])
        );
    }

    #[test]
    fn the_last_of_several_counts() {
        let mut settings = Settings::parse("host=a host=b").unwrap();
        assert_eq!(settings.take("host").unwrap().value(), "b");
        assert_eq!(settings.take("host"), None);
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_repeating_it() {
        for text in [
            "",
            "secret",
            "localhost/secret",
            "postgre://u:secret@host/db",
            "mysql://u:secret@host/db",
            "postgres://u:a@secret@host/db",
            "postgres://u:1/secret@host/db",
            "postgres://host?user=u&password=a@secret",
            "postgres://u:secret%zz@host/db",
            "postgres://u:secret%@host/db",
            "postgres://u:%ffsecret@host/db",
            "postgres://u:secret%00@host/db",
            "postgres://u:pw@[secret/db",
            "postgres://u:pw@host/db?secret",
            "password=a secret host=b",
            "password='secret",
        ] {
            let problem = Settings::parse(text).expect_err(text);
            assert!(!problem.contains("secret"), "{text}: {problem}");
        }
    }

    #[test]
    fn a_name_that_may_be_a_piece_of_a_password_is_not_shown() {
        let shown = |text: &str| Settings::parse(text).unwrap().iter().last().unwrap().shown_key();
        assert_eq!(shown("host=a sslmod=x"), "sslmod");
        for text in ["password=a secret=b", "postgres://h/?password=a&secret=b", "u:secret=pw@host/db"] {
            assert!(!shown(text).contains("secret"), "{text}");
        }
        let named = Settings::parse("postgres://u:pw@h/db?sslmod=x").unwrap();
        assert!(named.iter().any(|setting| setting.shown_key() == "sslmod"));
    }

    pub fn percent_encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
    }

    pub fn quoted(text: &str) -> String {
        format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".*", scheme in prop::sample::select(vec!["", "postgres://", "host="])) {
            let _ = Settings::parse(&format!("{scheme}{text}"));
        }

        #[test]
        fn no_text_like_an_address_makes_it_panic(text in r"[a@:/?&=%,\[\]' \\é0]{0,40}") {
            let _ = Settings::parse(&text);
            let _ = Settings::parse(&format!("postgres://{text}"));
        }

        #[test]
        fn any_password_comes_through_when_written_right(password in "[^\0]*") {
            for text in [
                format!("postgres://u:{}@h/db", percent_encoded(&password)),
                format!("postgres://h/db?password={}", percent_encoded(&password)),
                format!("host=h password={} dbname=db", quoted(&password)),
            ] {
                let taken = Settings::parse(&text).unwrap().take("password");
                prop_assert_eq!(taken.as_ref().map(Setting::value), Some(password.as_str()));
            }
        }
    }

    #[cfg(feature = "testing")]
    #[test]
    fn another_database_replaces_the_one_that_is_named() {
        for (url, expected) in [
            ("postgres://a:b%40@h:1/x?sslmode=disable&dbname=y", "postgres://a:b%40@h:1/new?sslmode=disable"),
            ("postgresql://h1,h2:5/", "postgresql://h1,h2:5/new"),
            ("postgres://h?connect_timeout=3", "postgres://h/new?connect_timeout=3"),
            ("postgres://", "postgres:///new"),
            ("host=a dbname='x y' user=b", "host=a dbname='x y' user=b dbname=new"),
        ] {
            let changed = with_dbname(url, "new");
            assert_eq!(changed, expected);
            let dbname = Settings::parse(&changed).unwrap().take("dbname").unwrap();
            assert_eq!(dbname.value(), "new");
        }
    }
}
