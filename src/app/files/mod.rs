//! Files of tablos: their bytes in the object store, their names in the database.
//!
//! Promises: what is served is whole; a name that is used again goes over to the new file in one
//! step; no file is ever held in memory; an object's key is made of ids only, so no name can reach
//! out of its tablo, and it is never used twice. What a crash leaves behind, between row and
//! object, is found by the [cleanup](super::jobs::orphan_file_cleanup).

mod download;
mod upload;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

pub use super::object_store::ObjectStream;
use super::{AppError, text};
pub use download::{Download, download};
pub use upload::upload;

/// The largest file, in bytes: 5 GiB, the most that S3 takes in one request.
pub const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// A file that is there to be read.
#[derive(Clone, Debug, Serialize)]
pub struct FileRecord {
    /// Its id, new for each upload.
    pub id: Uuid,
    /// The tablo that carries it.
    pub tablo_id: Uuid,
    /// Its name: 1 to 255 bytes, no `/` and no control characters.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When its upload began.
    pub created_at: DateTime<Utc>,
    #[serde(skip)]
    pub(crate) s3_key: String,
}

fn check_name(name: &str) -> Result<(), AppError> {
    if name.contains('/') {
        return Err(AppError::invalid("name", format!("{name:?} holds a /")));
    }
    text::check("name", name, MAX_NAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_1_to_255_bytes_without_slashes_and_control_characters() {
        for good in ["a", "ä ö.pdf", "..", &"x".repeat(255)] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a/b", "a\0", "a\nb", "\u{85}", &"x".repeat(256), &"ä".repeat(128)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_part_of_a_path_and_no_more(name in r"[\PC/\\.%\u{0}\u{85}]{0,20}|é{120,130}") {
            let good = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(|c: char| c == '/' || c.is_control());
            prop_assert_eq!(check_name(&name).is_ok(), good);
        }
    }
}
