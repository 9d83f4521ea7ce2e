//! Files of tablos: bytes in the object store, names in the database.
//!
//! Promises: a served file is complete. A reused name switches to the new file atomically. No file is held in memory.
//! The key of an object consists of ids only, so no name can reach another tablo. No key is used twice. The
//! [cleanup](super::jobs::orphan_file_cleanup) finds rows and objects that a crash leaves behind.

mod download;
mod upload;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

pub use super::object_store::ObjectStream;
use super::{AppError, text};
pub use download::{Download, download, find};
pub use upload::upload;

/// The largest file, in bytes: 5 GiB, the limit of S3 for one request.
pub const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// A file that can be read.
#[derive(Clone, Debug, Serialize)]
pub struct FileRecord {
    /// Its id, new for each upload.
    pub id: Uuid,
    /// Its tablo.
    pub tablo_id: Uuid,
    /// Its name: 1 to 255 bytes, no `/` and no control characters, neither `.` nor `..`.
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
    if matches!(name, "." | "..") {
        return Err(AppError::invalid("name", format!("{name:?} stands for a folder: no browser asks for it")));
    }
    text::check("name", name, MAX_NAME_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_1_to_255_bytes_without_slashes_and_control_characters() {
        for good in ["a", "ä ö.pdf", "...", ".a", &"x".repeat(255)] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "a/b", "a\0", "a\nb", "\u{85}", &"x".repeat(256), &"ä".repeat(128)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_part_of_a_path_and_no_more(name in r"[\PC/\\.%\u{0}\u{85}]{0,20}|é{120,130}") {
            let good = (1..=MAX_NAME_BYTES).contains(&name.len()) && ![".", ".."].contains(&name.as_str()) && !name.contains(|c: char| c == '/' || c.is_control());
            prop_assert_eq!(check_name(&name).is_ok(), good);
        }
    }
}
