//! Deletes objects: many per request, or one by one.
//!
//! Some stores lack `DeleteObjects`. Others require a `Content-MD5` header with it, which the SDK no longer sends.
//! Promise: if a store refuses such a request, objects are deleted one by one. Once that has worked, all later
//! deletions do the same.

use std::sync::atomic::Ordering;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::delete_objects::DeleteObjectsError;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures_util::{StreamExt, stream};

use super::{ObjectStore, failure};
use crate::app::AppError;

/// The most keys of one `DeleteObjects` request.
pub const MAX_DELETE: usize = 1000;
/// Concurrent requests when objects are deleted one by one.
const AT_ONCE: usize = 8;
const OPERATION: &str = "deleting objects";

/// An object that was not deleted, and why.
#[derive(Clone, Debug)]
pub(crate) struct NotDeleted {
    pub key: String,
    pub problem: String,
}

impl ObjectStore {
    /// Deletes up to [`MAX_DELETE`] objects. A key without an object counts as deleted. Returns the objects that were
    /// not deleted. Even a successful response can leave some or all of them.
    pub(crate) async fn delete(&self, keys: &[String]) -> Result<Vec<NotDeleted>, AppError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (client, bucket) = self.open().await?;
        if self.inner.deletes_singly.load(Ordering::Relaxed) {
            return Ok(delete_singly(client, bucket, keys).await);
        }
        let objects = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>()
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
            .map_err(|error| AppError::storage(OPERATION, error.to_string()))?;
        let request = client.delete_objects().bucket(bucket).delete(objects);
        match Box::pin(request.send()).await {
            Ok(answer) => answer.errors.unwrap_or_default().into_iter().map(not_deleted).collect(),
            Err(error) if refuses_the_request(&error) => {
                let left = delete_singly(client, bucket, keys).await;
                if left.len() < keys.len() && !self.inner.deletes_singly.swap(true, Ordering::Relaxed) {
                    let reason = failure(OPERATION, &error);
                    tracing::info!(%reason, "the store cannot delete many objects at once; deleting one by one");
                }
                Ok(left)
            }
            Err(error) => Err(failure(OPERATION, &error)),
        }
    }
}

/// Whether the store does not support the request. Excludes a busy store, refused credentials and a missing bucket.
fn refuses_the_request(error: &SdkError<DeleteObjectsError>) -> bool {
    let Some(answer) = error.raw_response() else { return false };
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let wants_a_digest = code.is_some_and(|code| code.contains("MD5") || code.contains("Digest"));
    wants_a_digest || (matches!(answer.status().as_u16(), 400 | 404 | 405 | 411 | 501) && code != Some("NoSuchBucket"))
}

/// The objects that were not deleted.
async fn delete_singly(client: &Client, bucket: &str, keys: &[String]) -> Vec<NotDeleted> {
    let deletions: Vec<_> = keys.iter().map(|key| delete_one(client.clone(), bucket.to_owned(), key.clone())).collect();
    stream::iter(deletions).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
}

async fn delete_one(client: Client, bucket: String, key: String) -> Option<NotDeleted> {
    match Box::pin(client.delete_object().bucket(bucket).key(&key).send()).await {
        Ok(_) => None,
        Err(error) if error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("NoSuchKey") => None,
        Err(error) => Some(NotDeleted { key, problem: failure(OPERATION, &error).to_string() }),
    }
}

fn not_deleted(error: aws_sdk_s3::types::Error) -> Result<NotDeleted, AppError> {
    // An error without a key does not identify the remaining object.
    let key = error.key.ok_or_else(|| AppError::storage(OPERATION, "an error names no key"))?;
    let code = error.code.as_deref().unwrap_or("no code");
    Ok(NotDeleted { key, problem: format!("{code}: {}", error.message.as_deref().unwrap_or("no message")) })
}
