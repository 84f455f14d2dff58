//! JSON patch, RFC 6902.

use serde_json::Value;

use super::PatchError;

/// Kubernetes' bound on operations; each may copy, so the bound keeps a small request from growing an object without end.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a JSON patch. On an error the document is as it was.
///
/// # Errors
/// When the patch is no list of operations, has too many, or does not fit the document.
pub fn apply_json(document: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed("json: cannot unmarshal the patch: it is not a list of operations".into()));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLong { allowed: MAX_OPERATIONS, given: operations.len() });
    }
    if let Some(other) = operations.iter().find(|op| !op.is_object()) {
        return Err(PatchError::Malformed(format!("json: cannot unmarshal the patch: {other} is not an operation")));
    }
    let rejected = |why: String| PatchError::Rejected { why };
    let operations: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|e| rejected(e.to_string()))?;
    json_patch::patch(document, &operations).map_err(|e| rejected(e.to_string()))
}
