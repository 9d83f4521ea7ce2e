//! Objects in S3 or a store that is compatible with it.
//!
//! Promises: it does not connect before the first use. Every operation and wait has a time limit. No object is held
//! in memory as a whole. Access keys never appear in errors, logs or `Debug` output. It does not depend on tablos or
//! the database.

mod body;
mod config;
mod delete;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_http_client::tls;
use tokio::sync::OnceCell;
use tokio::time::timeout;

pub use body::ObjectStream;
pub(crate) use body::{BodyFeed, upload_body};
use config::LONGEST_UPLOAD;
pub use config::{Limits, ObjectStoreConfig};
pub use delete::MAX_DELETE;
pub(crate) use delete::NotDeleted;

use crate::app::AppError;

// The SDK's futures take some 10 KiB each. They are boxed to keep our callers' futures small.

/// An object store. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct ObjectStore {
    inner: Arc<Inner>,
}

struct Inner {
    config: ObjectStoreConfig,
    limits: Limits,
    client: OnceCell<Client>,
    /// Whether the store cannot delete many objects per request.
    deletes_singly: AtomicBool,
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl ObjectStore {
    /// A store with these settings. Does not connect yet.
    #[must_use]
    pub fn new(config: ObjectStoreConfig) -> Self {
        Self::with_limits(config, Limits::default())
    }

    /// As [`ObjectStore::new`], with these limits instead of the defaults.
    #[must_use]
    pub fn with_limits(config: ObjectStoreConfig, mut limits: Limits) -> Self {
        limits.upload = limits.upload.min(LONGEST_UPLOAD);
        Self {
            inner: Arc::new(Inner { config, limits, client: OnceCell::new(), deletes_singly: AtomicBool::new(false) }),
        }
    }

    /// Checks that the store answers and the bucket exists, for a readiness check. Takes at most 3 s.
    ///
    /// # Errors
    /// [`AppError::Config`], [`AppError::Storage`].
    pub async fn check(&self) -> Result<(), AppError> {
        let operation = "looking for the bucket";
        let (client, bucket) = self.open().await?;
        timeout(self.limits().check, Box::pin(client.head_bucket().bucket(bucket).send()))
            .await
            .map_err(|_| too_slow(operation, self.limits().check))?
            .map_err(|error| failure(operation, &error))?;
        Ok(())
    }

    /// Stores one object, without retries and within [`Limits::upload`]. `body` must have exactly `length` bytes.
    pub(crate) async fn put(&self, key: &str, length: u64, body: SdkBody) -> Result<(), AppError> {
        let operation = "storing an object";
        let (client, bucket) = self.open().await?;
        let limit = self.limits().upload;
        let limits = TimeoutConfig::builder()
            .connect_timeout(self.limits().connect)
            .read_timeout(limit)
            .operation_attempt_timeout(limit)
            .operation_timeout(limit)
            .build();
        let length = i64::try_from(length).map_err(|_| AppError::invalid("content_length", "is too large"))?;
        let request = client
            .put_object()
            .bucket(bucket)
            .key(key)
            .content_length(length)
            .body(ByteStream::new(body))
            .customize()
            // A stream cannot be read twice, to sign it and to send it.
            .disable_payload_signing()
            .config_override(Config::builder().timeout_config(limits).retry_config(RetryConfig::disabled()));
        Box::pin(request.send()).await.map_err(|error| failure(operation, &error))?;
        Ok(())
    }

    /// Returns the length and the bytes of an object or of a part of it. `None` if the object does not exist.
    pub(crate) async fn get(
        &self,
        key: &str,
        part: Option<RangeInclusive<u64>>,
    ) -> Result<Option<(u64, ObjectStream)>, AppError> {
        let operation = "reading an object";
        let (client, bucket) = self.open().await?;
        let range = part.map(|part| format!("bytes={}-{}", part.start(), part.end()));
        let request = client.get_object().bucket(bucket).key(key).set_range(range);
        let answer = match Box::pin(request.send()).await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => return Ok(None),
            Err(error) => return Err(failure(operation, &error)),
        };
        let length = answer
            .content_length()
            .and_then(|length| u64::try_from(length).ok())
            .ok_or_else(|| AppError::storage(operation, "the answer has no length"))?;
        Ok(Some((length, body::object_stream(answer.body, self.limits().idle))))
    }

    /// The time limit of an upload.
    pub(crate) fn upload_limit(&self) -> Duration {
        self.limits().upload
    }

    fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The client, created on first use, and the bucket.
    async fn open(&self) -> Result<(&Client, &str), AppError> {
        let bucket = self.inner.config.bucket.as_deref().ok_or_else(|| {
            AppError::Config("S3_BUCKET is not set: name the bucket, or start with scripts/dev".to_owned())
        })?;
        let client = self.inner.client.get_or_init(|| Box::pin(connect(&self.inner.config, self.limits()))).await;
        Ok((client, bucket))
    }
}

async fn connect(config: &ObjectStoreConfig, limits: &Limits) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let region = Region::new(config.region.clone());
    let base = if let (Some(access_key), Some(secret_key)) = (&config.access_key, &config.secret_key) {
        Config::builder().behavior_version(BehaviorVersion::latest()).credentials_provider(Credentials::new(
            access_key,
            secret_key,
            config.session_token.clone(),
            None,
            "environment",
        ))
    } else {
        let chain = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone()).region(region.clone());
        aws_sdk_s3::config::Builder::from(&chain.load().await)
    };
    let mut builder = base
        .http_client(http)
        .region(region)
        .force_path_style(config.use_path_style)
        .retry_config(RetryConfig::standard().with_max_attempts(limits.attempts))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(limits.connect)
                .read_timeout(limits.attempt)
                .operation_attempt_timeout(limits.attempt)
                .operation_timeout(limits.operation)
                .build(),
        )
        // The newer default sends checksums that many stores other than AWS do not support.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // The SDK aborts after some seconds without data, and blames the store even if the client pauses. We have our
        // own limits for both.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = &config.endpoint {
        // The SDK appends the bucket directly to the path.
        builder = builder.endpoint_url(format!("{}/", endpoint.trim_end_matches('/')));
    }
    Client::from_conf(builder.build())
}

fn too_slow(operation: &'static str, limit: Duration) -> AppError {
    AppError::storage(operation, format!("no answer within {} ms", limit.as_millis()))
}

/// The store's answer, or the chain of causes if it did not answer.
fn failure<E, R>(operation: &'static str, error: &SdkError<E, R>) -> AppError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: fmt::Debug,
{
    match error.as_service_error() {
        Some(answer) if answer.code().is_some() => {
            let code = answer.code().unwrap_or_default();
            AppError::storage(operation, format!("{code}: {}", answer.message().unwrap_or("no message")))
        }
        _ => AppError::storage(operation, DisplayErrorContext(error).to_string()),
    }
}
