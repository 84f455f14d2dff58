//! Dropping the fields that a schema does not describe.
//!
//! Kubernetes' rule (`schema/pruning`): a field stays when it is a property, an additional property, or stands where
//! unknown fields are preserved; inside what is preserved, described parts are still pruned. The type header and the
//! metadata of resources always stay; unknown fields of metadata are dropped by its own table.

use super::schema::Schema;
use orc_core::schema::Schema as BuiltIn;
use serde_json::{Map, Value};

/// Prunes a custom resource and returns the paths of what was dropped (`spec.foo`, `spec.list[0].bar`), sorted.
///
/// `root` says whether the object itself has `apiVersion`, `kind` and `metadata`; its own metadata is left alone, since
/// the registry's decoder has seen to it.
pub fn prune(object: &mut Value, schema: &Schema, root: bool) -> Vec<String> {
    let mut pruner = Pruner { path: String::new(), dropped: Vec::new() };
    pruner.value(object, Some(schema), root, false);
    pruner.dropped.sort();
    pruner.dropped
}

/// The texts for `fieldValidation` Strict and Warn.
pub fn unknown_field(path: &str) -> String {
    format!("unknown field {}", orc_core::validation::go_quote(path))
}

struct Pruner {
    path: String,
    dropped: Vec<String>,
}

impl Pruner {
    fn value(&mut self, value: &mut Value, schema: Option<&Schema>, root: bool, kept: bool) {
        match value {
            Value::Array(items) => self.items(items, schema, kept),
            Value::Object(map) => self.map(map, schema, root, kept),
            _ => {}
        }
    }

    fn items(&mut self, items: &mut [Value], schema: Option<&Schema>, kept: bool) {
        let kept = kept || schema.is_some_and(Schema::keeps_unknown);
        let inner = schema.and_then(|s| s.items.as_deref());
        for (i, item) in items.iter_mut().enumerate() {
            let length = self.path.len();
            self.path.push_str(&format!("[{i}]"));
            self.value(item, inner, inner.is_some_and(|s| s.embedded), kept && inner.is_none());
            self.path.truncate(length);
        }
    }

    fn map(&mut self, map: &mut Map<String, Value>, schema: Option<&Schema>, root: bool, kept: bool) {
        let kept = kept || schema.is_some_and(Schema::keeps_unknown);
        let embedded = schema.is_some_and(|s| s.embedded);
        let names: Vec<String> = map.keys().cloned().collect();
        for name in names {
            let length = self.path.len();
            self.step(&name);
            let header = (root || embedded) && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
            if header {
                if embedded && name == "metadata" {
                    self.metadata(&mut map[&name]);
                }
            } else if let Some(inner) = schema.and_then(|s| s.child(&name)) {
                self.value(&mut map[&name], Some(inner), inner.embedded, false);
            } else if !kept {
                map.remove(&name);
                self.dropped.push(self.path.clone());
            }
            self.path.truncate(length);
        }
    }

    fn step(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    /// Metadata of an embedded resource has a fixed form.
    fn metadata(&mut self, metadata: &mut Value) {
        let before = metadata.clone();
        orc_core::schema::prune(metadata, BuiltIn::builtin().object_meta());
        lost(&before, metadata, &mut self.path.clone(), &mut self.dropped);
    }
}

/// Notes what is in `before` and not in `after`.
fn lost(before: &Value, after: &Value, path: &mut String, dropped: &mut Vec<String>) {
    let length = path.len();
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in old {
                path.push('.');
                path.push_str(name);
                match new.get(name) {
                    Some(kept) => lost(value, kept, path, dropped),
                    None => dropped.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (i, (value, kept)) in old.iter().zip(new).enumerate() {
                path.push_str(&format!("[{i}]"));
                lost(value, kept, path, dropped);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
