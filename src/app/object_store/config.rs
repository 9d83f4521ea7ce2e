//! The settings of the object store, from the environment.

use std::fmt;
use std::time::Duration;

use crate::app::AppError;
use crate::program::environment::{boolish, variable};

/// The address of the object store and its credentials.
///
/// `Debug` omits the keys.
#[derive(Clone)]
pub struct ObjectStoreConfig {
    /// `http://…` or `https://…`. Default: AWS.
    pub endpoint: Option<String>,
    /// The bucket. Without it, every operation returns an error that names the variable.
    pub bucket: Option<String>,
    /// The region. Default: `us-east-1`.
    pub region: String,
    /// The access key. Without keys, the AWS default credential chain applies.
    pub access_key: Option<String>,
    /// The secret of the access key.
    pub secret_key: Option<String>,
    /// The token of temporary keys.
    pub session_token: Option<String>,
    /// Puts the bucket in the path (`http://host/bucket/key`) instead of the host name. Most stores other than AWS
    /// need this. Default: no.
    pub use_path_style: bool,
}

impl Default for ObjectStoreConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            bucket: None,
            region: "us-east-1".to_owned(),
            access_key: None,
            secret_key: None,
            session_token: None,
            use_path_style: false,
        }
    }
}

impl fmt::Debug for ObjectStoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreConfig")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("use_path_style", &self.use_path_style)
            .finish_non_exhaustive()
    }
}

impl ObjectStoreConfig {
    /// Reads `S3_ENDPOINT`, `S3_BUCKET`, `S3_REGION`, `S3_ACCESS_KEY`, `S3_SECRET_KEY` and
    /// `S3_USE_PATH_STYLE`. Without keys, reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    /// An empty variable counts as absent.
    ///
    /// # Errors
    /// [`AppError::Config`], which names the variable and never contains a key.
    pub fn from_env() -> Result<Self, AppError> {
        Self::from_variables(|name| variable(name).map_err(|error| AppError::Config(error.to_string())))
    }

    fn from_variables(variable: impl Fn(&str) -> Result<Option<String>, AppError>) -> Result<Self, AppError> {
        let defaults = Self::default();
        let mut config = Self {
            endpoint: variable("S3_ENDPOINT")?,
            bucket: variable("S3_BUCKET")?,
            region: variable("S3_REGION")?.unwrap_or(defaults.region),
            access_key: variable("S3_ACCESS_KEY")?,
            secret_key: variable("S3_SECRET_KEY")?,
            session_token: None,
            use_path_style: match variable("S3_USE_PATH_STYLE")? {
                None => defaults.use_path_style,
                Some(value) => boolish(&value)
                    .ok_or_else(|| AppError::Config(format!("S3_USE_PATH_STYLE is {value:?}, not true or false")))?,
            },
        };
        if let Some(endpoint) = &config.endpoint {
            check_endpoint(endpoint)?;
        }
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !is_name(&config.region) {
            return Err(AppError::Config(format!("S3_REGION is {:?}, which is no region's name", config.region)));
        }
        check_key("S3_ACCESS_KEY", config.access_key.as_deref())?;
        check_key("S3_SECRET_KEY", config.secret_key.as_deref())?;
        match (&config.access_key, &config.secret_key) {
            (Some(_), None) => Err(AppError::Config("S3_ACCESS_KEY is set and S3_SECRET_KEY is not".to_owned())),
            (None, Some(_)) => Err(AppError::Config("S3_SECRET_KEY is set and S3_ACCESS_KEY is not".to_owned())),
            (Some(_), Some(_)) => Ok(config),
            (None, None) => {
                config.read_keys_of_aws(variable)?;
                Ok(config)
            }
        }
    }

    /// Reads the keys that the default chain tries first, because the SDK panics if one of them has a line break.
    fn read_keys_of_aws(
        &mut self,
        variable: impl Fn(&str) -> Result<Option<String>, AppError>,
    ) -> Result<(), AppError> {
        let key = |name| {
            let key = variable(name)?;
            check_key(name, key.as_deref())?;
            Ok::<_, AppError>(key)
        };
        let access_key = key("AWS_ACCESS_KEY_ID")?;
        // The chain knows the secret by two names.
        let secret_key = key("AWS_SECRET_ACCESS_KEY")?.or(key("SECRET_ACCESS_KEY")?);
        let session_token = key("AWS_SESSION_TOKEN")?;
        if access_key.is_some() && secret_key.is_some() {
            (self.access_key, self.secret_key, self.session_token) = (access_key, secret_key, session_token);
        }
        Ok(())
    }
}

/// A key is sent in a header.
fn check_key(name: &str, key: Option<&str>) -> Result<(), AppError> {
    match key {
        Some(key) if !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(AppError::Config(format!("{name} holds a character that no key has (a line break?)")))
        }
        _ => Ok(()),
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), AppError> {
    let refused = |problem| Err(AppError::Config(format!("S3_ENDPOINT is {endpoint:?}, which {problem}")));
    let Some(rest) = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://")) else {
        return refused("does not begin with http:// or https://");
    };
    if rest.contains(['?', '#']) {
        return refused("has a query or a fragment: name a host, and a path where the store has one");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        // Not shown, because it may be a password.
        return Err(AppError::Config(
            "S3_ENDPOINT has a user: give the keys as S3_ACCESS_KEY and S3_SECRET_KEY".to_owned(),
        ));
    }
    if authority.is_empty() || endpoint.parse::<axum::http::Uri>().is_err() {
        return refused("is no address of a host");
    }
    Ok(())
}

/// The time limits of the object store. Every wait has one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection. Default: 5 s.
    pub connect: Duration,
    /// For one attempt of a short operation. Default: 20 s.
    pub attempt: Duration,
    /// For all attempts of a short operation together. Default: 60 s.
    pub operation: Duration,
    /// For a whole upload, which is not retried. Default and maximum: 15 min. The cleanup of abandoned uploads relies
    /// on the maximum.
    pub upload: Duration,
    /// For the next chunk of a download. Default: 30 s.
    pub idle: Duration,
    /// For the readiness check. Default: 3 s.
    pub check: Duration,
    /// Attempts of a short operation. Default: 3.
    pub attempts: u32,
}

/// The maximum duration of an upload.
pub(crate) const LONGEST_UPLOAD: Duration = Duration::from_mins(15);

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(20),
            operation: Duration::from_mins(1),
            upload: LONGEST_UPLOAD,
            idle: Duration::from_secs(30),
            check: Duration::from_secs(3),
            attempts: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(variables: &[(&str, &str)]) -> Result<ObjectStoreConfig, AppError> {
        ObjectStoreConfig::from_variables(|name| {
            let given = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Ok(given.filter(|value| !value.is_empty()))
        })
    }

    #[test]
    fn nothing_set_is_aws_in_us_east_1() {
        let config = from(&[("S3_ENDPOINT", "")]).unwrap();
        assert_eq!((config.endpoint, config.region.as_str(), config.use_path_style), (None, "us-east-1", false));
    }

    #[test]
    fn a_bad_value_is_named() {
        for (variables, named) in [
            (&[("S3_USE_PATH_STYLE", "maybe")][..], "S3_USE_PATH_STYLE"),
            (&[("S3_ENDPOINT", "localhost:9000")], "S3_ENDPOINT"),
            (&[("S3_ENDPOINT", "http://")], "S3_ENDPOINT"),
            (&[("S3_ENDPOINT", "http://host/?a=b")], "S3_ENDPOINT"),
            (&[("S3_ENDPOINT", "http://a b")], "S3_ENDPOINT"),
            (&[("S3_ENDPOINT", "http://ada:secret@host")], "S3_ACCESS_KEY"),
            (&[("S3_REGION", "eu west\n1")], "S3_REGION"),
            (&[("S3_ACCESS_KEY", "a\nb"), ("S3_SECRET_KEY", "c")], "S3_ACCESS_KEY"),
            (&[("S3_ACCESS_KEY", "a"), ("S3_SECRET_KEY", "\u{e9}")], "S3_SECRET_KEY"),
            (&[("AWS_ACCESS_KEY_ID", "a\nb"), ("AWS_SECRET_ACCESS_KEY", "c")], "AWS_ACCESS_KEY_ID"),
            (&[("AWS_SESSION_TOKEN", "a\nb")], "AWS_SESSION_TOKEN"),
            (&[("S3_ACCESS_KEY", "a")], "S3_SECRET_KEY"),
            (&[("S3_SECRET_KEY", "a")], "S3_ACCESS_KEY"),
        ] {
            let problem = from(variables).unwrap_err().to_string();
            assert!(problem.contains(named), "{problem}");
        }
    }

    #[test]
    fn the_keys_of_aws_are_taken_whole_and_only_without_our_own() {
        let aws = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "c")];
        let keys = |variables: &[(&str, &str)]| {
            let config = from(variables).unwrap();
            (config.access_key, config.secret_key, config.session_token)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(keys(&aws), (some("a"), some("b"), some("c")));
        assert_eq!(keys(&aws[..1]), (None, None, None), "the chain goes on");
        let ours = [&aws[..], &[("S3_ACCESS_KEY", "d"), ("S3_SECRET_KEY", "e")]].concat();
        assert_eq!(keys(&ours), (some("d"), some("e"), None));
    }

    #[test]
    fn the_debug_form_holds_no_key() {
        for names in [("S3_ACCESS_KEY", "S3_SECRET_KEY"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")] {
            let config =
                from(&[(names.0, "known-key"), (names.1, "secret-key"), ("AWS_SESSION_TOKEN", "token")]).unwrap();
            let text = format!("{config:?}");
            assert!(!text.contains("-key") && !text.contains("token"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_setting_makes_it_panic_and_no_error_contains_a_key(
            endpoint in r"(https?://)?\PC{0,30}",
            style in "true|false|0|1|\\PC{0,5}",
            secret in "PLANTED[!-~]{0,20}",
            with_access_key in any::<bool>(),
        ) {
            let access_key = if with_access_key { secret.as_str() } else { "" };
            let read = from(&[
                ("S3_ENDPOINT", &endpoint),
                ("S3_USE_PATH_STYLE", &style),
                ("S3_ACCESS_KEY", access_key),
                ("S3_SECRET_KEY", &secret),
            ]);
            let message = match read {
                Ok(config) => {
                    prop_assert_eq!(config.secret_key.as_deref(), Some(secret.as_str()));
                    format!("{config:?}")
                }
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!message.contains("PLANTED"), "{}", message);
        }
    }
}
