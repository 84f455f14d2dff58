//! Conversion with the strategy `None`: versions differ in nothing but their names.

use orc_core::doc::Doc;
use orc_core::error::ApiError;

/// Makes an object one of another version.
///
/// # Errors
/// `InternalError` when the object is of another group: nothing stored under a definition is.
pub fn rename(doc: &mut Doc, group: &str, version: &str) -> Result<(), ApiError> {
    let have = doc.api_version().rsplit_once('/').map_or("", |(group, _)| group);
    if have != group {
        return Err(ApiError::internal(format!("converting an object of the group {have:?} to the group {group:?}")));
    }
    doc.set(&["apiVersion"], format!("{group}/{version}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_version_changes() {
        let object = json!({"apiVersion": "example.com/v1beta1", "kind": "Widget", "spec": {"x": 1}});
        let mut doc = Doc::from_value(object).unwrap();
        rename(&mut doc, "example.com", "v1").unwrap();
        assert_eq!(doc.value(), &json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"x": 1}}));
        assert_eq!(rename(&mut doc, "other.com", "v1").unwrap_err().code(), 500);
    }
}
