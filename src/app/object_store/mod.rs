//! Objects in S3, or in a store that speaks its protocol.
//!
//! Promises: nothing is contacted before the first use; every operation and every wait has a
//! limit; no object is ever held in memory whole; keys never appear in an error, a log line or a
//! `Debug` form. Knows nothing of tablos or of the database.

mod body;
mod config;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_http_client::tls;
use tokio::sync::OnceCell;
use tokio::time::timeout;

pub use body::ObjectStream;
pub(crate) use body::{BodyFeed, upload_body};
use config::LONGEST_UPLOAD;
pub use config::{Limits, ObjectStoreConfig};

use crate::app::AppError;

/// The most keys that one `DeleteObjects` takes.
pub const MAX_DELETE: usize = 1000;

// The SDK's futures take some 10 KiB each: boxed, so that those of our callers do not.

/// An object store. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct ObjectStore {
    inner: Arc<Inner>,
}

struct Inner {
    config: ObjectStoreConfig,
    limits: Limits,
    client: OnceCell<Client>,
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// An object that was not deleted, and why.
#[derive(Clone, Debug)]
pub(crate) struct NotDeleted {
    pub key: String,
    pub problem: String,
}

impl ObjectStore {
    /// A store with these settings. Contacts nothing.
    #[must_use]
    pub fn new(config: ObjectStoreConfig) -> Self {
        Self::with_limits(config, Limits::default())
    }

    /// As [`ObjectStore::new`], with other limits than the default ones.
    #[must_use]
    pub fn with_limits(config: ObjectStoreConfig, mut limits: Limits) -> Self {
        limits.upload = limits.upload.min(LONGEST_UPLOAD);
        Self { inner: Arc::new(Inner { config, limits, client: OnceCell::new() }) }
    }

    /// Whether the store answers and the bucket is there, for a readiness check. Takes at most 3 s.
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

    /// Stores one object, in one try and within [`Limits::upload`]. `body` must give exactly
    /// `length` bytes.
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
            // A stream cannot be read twice: once to sign it, once to send it.
            .disable_payload_signing()
            .config_override(Config::builder().timeout_config(limits).retry_config(RetryConfig::disabled()));
        Box::pin(request.send()).await.map_err(|error| failure(operation, &error))?;
        Ok(())
    }

    /// The length and the bytes of an object; `None` where there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<(u64, ObjectStream)>, AppError> {
        let operation = "reading an object";
        let (client, bucket) = self.open().await?;
        let answer = match Box::pin(client.get_object().bucket(bucket).key(key).send()).await {
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

    /// Deletes up to [`MAX_DELETE`] objects; a key without an object counts as deleted. Returns
    /// those that the store did not delete, which may be some or all although it answered.
    pub(crate) async fn delete(&self, keys: &[String]) -> Result<Vec<NotDeleted>, AppError> {
        let operation = "deleting objects";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (client, bucket) = self.open().await?;
        let objects = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>()
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
            .map_err(|error| AppError::storage(operation, error.to_string()))?;
        let request = client.delete_objects().bucket(bucket).delete(objects);
        let answer = Box::pin(request.send()).await.map_err(|error| failure(operation, &error))?;
        answer.errors.unwrap_or_default().into_iter().map(not_deleted).collect()
    }

    /// How long an upload may take in all.
    pub(crate) fn upload_limit(&self) -> Duration {
        self.limits().upload
    }

    fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The client, made on first use, and the bucket.
    async fn open(&self) -> Result<(&Client, &str), AppError> {
        let bucket = self.inner.config.bucket.as_deref().ok_or_else(|| {
            AppError::Config("S3_BUCKET is not set: name the bucket, or start with scripts/dev".to_owned())
        })?;
        let client = self.inner.client.get_or_init(|| Box::pin(connect(&self.inner.config, self.limits()))).await;
        Ok((client, bucket))
    }
}

fn not_deleted(error: aws_sdk_s3::types::Error) -> Result<NotDeleted, AppError> {
    // Without a key nobody knows which of the objects is still there.
    let key = error.key.ok_or_else(|| AppError::storage("deleting objects", "an error names no key"))?;
    let code = error.code.as_deref().unwrap_or("no code");
    Ok(NotDeleted { key, problem: format!("{code}: {}", error.message.as_deref().unwrap_or("no message")) })
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
            None,
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
        // The newer default sends checksums that many stores other than AWS do not know.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Client::from_conf(builder.build())
}

fn too_slow(operation: &'static str, limit: Duration) -> AppError {
    AppError::storage(operation, format!("no answer within {} ms", limit.as_millis()))
}

/// What the store said, or else the whole chain of what kept it from saying something.
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
