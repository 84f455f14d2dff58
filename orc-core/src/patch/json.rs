//! JSON patch, RFC 6902.

use json_patch::PatchOperation;
use serde_json::Value;

use super::PatchError;
use crate::doc::{MAX_DEPTH, nests_within};

/// Kubernetes' bound on operations; each may copy, so the bound keeps a small request from growing an object without end.
const MAX_OPERATIONS: usize = 10_000;
/// How many bytes all copies of a patch may add together: thirty of them could make an object a thousand million times larger.
/// kube-apiserver sets the same (`jsonpatch.AccumulatedCopySizeLimit`, the largest request body).
const MAX_COPIED: usize = 3 << 20;

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
    let (mut next, mut copied) = (document.clone(), 0);
    for operation in &operations.0 {
        check_growth(&next, operation, &mut copied).map_err(rejected)?;
        if !(tests_for_null(operation) && is_absent(&next, operation)) {
            json_patch::patch(&mut next, std::slice::from_ref(operation)).map_err(|e| rejected(e.to_string()))?;
        }
    }
    *document = next;
    Ok(())
}

/// Refuses what would make the document much larger, or nest deeper than one that can be read again.
fn check_growth(document: &Value, operation: &PatchOperation, copied: &mut usize) -> Result<(), String> {
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
        PatchOperation::Move(moved) => (&moved.path, moved.from.resolve(document).ok()),
        PatchOperation::Copy(copy) => {
            let value = copy.from.resolve(document).ok();
            *copied += value.map_or(0, length);
            if *copied > MAX_COPIED {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
                ));
            }
            (&copy.path, value)
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    let levels = MAX_DEPTH.checked_sub(path.count());
    match (levels, value) {
        (Some(levels), Some(value)) if !nests_within(value, levels) => Err("the result nests too deep".to_owned()),
        (None, _) => Err("the path is too long".to_owned()),
        _ => Ok(()),
    }
}

/// The length of a value's text, bytes.
fn length(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting does not fail, and a tree's keys are texts.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
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
