//! JSON patch and merge patch over a document.

use orc_core::{ApiError, Doc, patch};
use serde_json::Value;

/// Applies an RFC 6902 patch.
pub(super) fn json(now: &Doc, patch: &[u8]) -> Result<Doc, ApiError> {
    let patch = read(patch)?;
    let mut value = now.value().clone();
    patch::apply_json(&mut value, &patch)?;
    Doc::from_value(value)
}

/// Applies an RFC 7386 patch.
pub(super) fn merge(now: &Doc, patch: &[u8]) -> Result<Doc, ApiError> {
    let patch = read(patch)?;
    let mut value = now.value().clone();
    patch::apply_merge(&mut value, &patch)?;
    Doc::from_value(value)
}

fn read(patch: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(patch).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))
}
