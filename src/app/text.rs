//! Rules for names.

use super::AppError;

/// Rejects text that is empty, longer than `max_bytes`, or contains a control character.
pub(super) fn check(field: &'static str, text: &str, max_bytes: usize) -> Result<(), AppError> {
    if text.is_empty() {
        return Err(AppError::invalid(field, "is empty"));
    }
    if text.len() > max_bytes {
        return Err(AppError::invalid(field, format!("is {} bytes, more than {max_bytes}", text.len())));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(AppError::invalid(field, format!("holds the control character {bad:?}"))),
        None => Ok(()),
    }
}
