//! The settings of the object store, as the environment gives them.

use std::fmt;
use std::time::Duration;

use crate::app::AppError;

/// Where the object store is and how to sign in.
///
/// Its `Debug` form leaves the keys out.
#[derive(Clone)]
pub struct ObjectStoreConfig {
    /// `http://…` or `https://…`. Without one, AWS itself.
    pub endpoint: Option<String>,
    /// The bucket. Without one, every use of the store is an error that says so.
    pub bucket: Option<String>,
    /// The region. Default: `us-east-1`.
    pub region: String,
    /// The access key. Without keys, the AWS default chain finds them.
    pub access_key: Option<String>,
    /// The secret that goes with the access key.
    pub secret_key: Option<String>,
    /// Whether the bucket stands in the path (`http://host/bucket/key`) and not in the host name,
    /// as most stores other than AWS want it. Default: no.
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
    /// From `S3_ENDPOINT`, `S3_BUCKET`, `S3_REGION`, `S3_ACCESS_KEY`, `S3_SECRET_KEY` and
    /// `S3_USE_PATH_STYLE`. An empty variable counts as absent.
    ///
    /// # Errors
    /// [`AppError::Config`], naming the variable; it never repeats a key.
    pub fn from_env() -> Result<Self, AppError> {
        Self::from_variables(|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(AppError::Config(format!("{name} is not UTF-8"))),
        })
    }

    fn from_variables(variable: impl Fn(&str) -> Result<Option<String>, AppError>) -> Result<Self, AppError> {
        let given = |name: &str| Ok::<_, AppError>(variable(name)?.filter(|value| !value.is_empty()));
        let defaults = Self::default();
        let config = Self {
            endpoint: given("S3_ENDPOINT")?,
            bucket: given("S3_BUCKET")?,
            region: given("S3_REGION")?.unwrap_or(defaults.region),
            access_key: given("S3_ACCESS_KEY")?,
            secret_key: given("S3_SECRET_KEY")?,
            use_path_style: match given("S3_USE_PATH_STYLE")?.as_deref() {
                None => defaults.use_path_style,
                Some("true" | "1") => true,
                Some("false" | "0") => false,
                Some(other) => {
                    return Err(AppError::Config(format!("S3_USE_PATH_STYLE is {other:?}, not true or false")));
                }
            },
        };
        if let Some(endpoint) = &config.endpoint
            && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
        {
            return Err(AppError::Config(format!(
                "S3_ENDPOINT is {endpoint:?}, which does not begin with http:// or https://"
            )));
        }
        match (&config.access_key, &config.secret_key) {
            (Some(_), None) => Err(AppError::Config("S3_ACCESS_KEY is set and S3_SECRET_KEY is not".to_owned())),
            (None, Some(_)) => Err(AppError::Config("S3_SECRET_KEY is set and S3_ACCESS_KEY is not".to_owned())),
            _ => Ok(config),
        }
    }
}

/// How long to wait for the object store. No wait is without a limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection. Default: 5 s.
    pub connect: Duration,
    /// For one try of a short operation. Default: 20 s.
    pub attempt: Duration,
    /// For a short operation with all its tries. Default: 60 s.
    pub operation: Duration,
    /// For a whole upload, which is tried once. Default: 15 min. At most that: the sweep of
    /// uploads that never ended relies on it.
    pub upload: Duration,
    /// For the next bytes of a download. Default: 30 s.
    pub idle: Duration,
    /// For the readiness check. Default: 3 s.
    pub check: Duration,
    /// How often a short operation is tried. Default: 3.
    pub attempts: u32,
}

/// No upload may take longer.
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
            Ok(variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
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
            (&[("S3_USE_PATH_STYLE", "yes")][..], "S3_USE_PATH_STYLE"),
            (&[("S3_ENDPOINT", "localhost:9000")], "S3_ENDPOINT"),
            (&[("S3_ACCESS_KEY", "a")], "S3_SECRET_KEY"),
            (&[("S3_SECRET_KEY", "a")], "S3_ACCESS_KEY"),
        ] {
            let problem = from(variables).unwrap_err().to_string();
            assert!(problem.contains(named), "{problem}");
        }
    }

    #[test]
    fn the_debug_form_holds_no_key() {
        let config = from(&[("S3_ACCESS_KEY", "known-key"), ("S3_SECRET_KEY", "secret-key")]).unwrap();
        let text = format!("{config:?}");
        assert!(!text.contains("known-key") && !text.contains("secret-key"), "{text}");
    }

    proptest! {
        #[test]
        fn no_setting_makes_it_panic_and_no_error_tells_a_key(
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
            let said = match read {
                Ok(config) => {
                    prop_assert_eq!(config.secret_key.as_deref(), Some(secret.as_str()));
                    format!("{config:?}")
                }
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!said.contains("PLANTED"), "{}", said);
        }
    }
}
