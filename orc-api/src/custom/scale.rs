//! The scale sub-resource and selectable fields: values at simple paths such as `.spec.replicas`.

use crate::kinds::tree::{Errors, get, list, text};
use orc_core::error::ApiError;
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::{Map, Value, json};

/// Where a version keeps what a Scale shows (`subresources.scale`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Path of the wished number.
    pub spec: String,
    /// Path of the number there is.
    pub status: String,
    /// Path of the selector as text; empty when there is none.
    pub selector: String,
}

/// The value at a simple path.
pub fn at<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    path.trim_start_matches('.').split('.').try_fold(object, |value, name| value.get(name)).filter(|v| !v.is_null())
}

/// Sets the value at a simple path and makes the objects on the way.
///
/// # Errors
/// `InternalError` when something on the way is no object.
pub fn put(object: &mut Value, path: &str, to: Value) -> Result<(), ApiError> {
    let mut slot = object;
    for name in path.trim_start_matches('.').split('.') {
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        let map = slot
            .as_object_mut()
            .ok_or_else(|| ApiError::internal(format!("the field above {name:?} of the path {path:?} is no object")))?;
        slot = map.entry(name).or_insert(Value::Null);
    }
    *slot = to;
    Ok(())
}

impl ScalePaths {
    /// Reads them from a version of a definition; `None` without the sub-resource.
    pub fn parse(version: &Value) -> Option<Self> {
        let scale = get(get(version, "subresources"), "scale");
        let own = |field: &str| text(scale, field).to_owned();
        let paths = Self {
            spec: own("specReplicasPath"),
            status: own("statusReplicasPath"),
            selector: own("labelSelectorPath"),
        };
        (!scale.is_null()).then_some(paths)
    }

    /// The Scale of an object.
    ///
    /// # Errors
    /// `InternalError` when the object does not hold a wished number.
    pub fn scale(&self, object: &Value) -> Result<Value, ApiError> {
        let Some(replicas) = at(object, &self.spec).and_then(Value::as_i64) else {
            return Err(ApiError::internal(format!("the spec replicas field {:?} does not exist", self.spec)));
        };
        let meta = get(object, "metadata");
        let kept = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
        let metadata: Map<String, Value> =
            kept.into_iter().filter_map(|name| Some((name.to_owned(), meta.get(name)?.clone()))).collect();
        let mut status = json!({"replicas": at(object, &self.status).and_then(Value::as_i64).unwrap_or(0)});
        let selector = if self.selector.is_empty() { None } else { at(object, &self.selector).and_then(Value::as_str) };
        if let Some(selector) = selector.filter(|text| !text.is_empty()) {
            status["selector"] = selector.into();
        }
        Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {"replicas": replicas}, "status": status}))
    }

    /// Checks the numbers of an object that is written.
    pub fn validate(&self, object: &Value, e: &mut FieldErrors) {
        for path in [&self.spec, &self.status] {
            let Some(value) = at(object, path) else { continue };
            let here = FieldPath::new(path);
            match value.as_i64() {
                Some(n) if n < 0 => e.invalid(&here, n, "should be a non-negative integer"),
                Some(n) if n > i64::from(i32::MAX) => {
                    e.invalid(&here, n, format!("should be less than or equal to {}", i32::MAX));
                }
                Some(_) => {}
                None => e.invalid(&here, value, "should be a non-negative integer"),
            }
        }
    }
}

/// The paths of a version's selectable fields, as field selectors name them (`spec.size`).
pub fn selectable(version: &Value) -> Vec<String> {
    let fields = list(version, "selectableFields");
    fields.iter().map(|field| text(field, "jsonPath").trim_start_matches('.').to_owned()).collect()
}

/// The values of selectable fields; "" where the object has none.
pub fn selected(object: &Value, fields: &[String]) -> Vec<(String, String)> {
    let shown = |field: &String| match at(object, field) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    fields.iter().map(|field| (field.clone(), shown(field))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_made_and_checked() {
        let version = json!({"subresources": {"scale": {"specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}}});
        let paths = ScalePaths::parse(&version).unwrap();
        let mut object = json!({"metadata": {"name": "w", "labels": {}}, "spec": {"replicas": 2}});
        let scale = paths.scale(&object).unwrap();
        assert_eq!((&scale["spec"], &scale["status"]), (&json!({"replicas": 2}), &json!({"replicas": 0})));
        assert_eq!(scale["metadata"], json!({"name": "w"}));
        put(&mut object, ".spec.replicas", (-1).into()).unwrap();
        let mut errors = FieldErrors::new();
        paths.validate(&object, &mut errors);
        assert_eq!(errors[0].to_string(), ".spec.replicas: Invalid value: -1: should be a non-negative integer");
        assert!(put(&mut object, ".metadata.name.x", Value::Null).is_err());
        assert_eq!(paths.scale(&json!({})).unwrap_err().code(), 500);
    }

    #[test]
    fn selectable_fields_are_texts() {
        let version = json!({"selectableFields": [{"jsonPath": ".spec.size"}, {"jsonPath": ".spec.n"}]});
        let fields = selectable(&version);
        let found = selected(&json!({"spec": {"n": 4}}), &fields);
        assert_eq!(found, [("spec.size".into(), String::new()), ("spec.n".into(), "4".into())]);
    }
}
