//! JSON patch, RFC 6902.

use json_patch::PatchOperation;
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
    if !operations.iter().any(tests_for_null) {
        return json_patch::patch(document, &operations).map_err(|e| rejected(e.to_string()));
    }
    let mut next = document.clone();
    for operation in &operations.0 {
        if !(tests_for_null(operation) && is_absent(&next, operation)) {
            json_patch::patch(&mut next, std::slice::from_ref(operation)).map_err(|e| rejected(e.to_string()))?;
        }
    }
    *document = next;
    Ok(())
}

/// Kubernetes' JSON patch (evanphx/json-patch) takes a field that is not there for null in a test. Clients use it to say "not
/// there": kube-rs adds its first finalizer so.
fn tests_for_null(operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test) if test.value.is_null())
}

/// Whether the last part alone of an operation's path is missing.
fn is_absent(document: &Value, operation: &PatchOperation) -> bool {
    let path = operation.path().as_str();
    let parent = path.rsplit_once('/').and_then(|(parent, _)| document.pointer(parent));
    parent.is_some_and(Value::is_object) && document.pointer(path).is_none()
}
