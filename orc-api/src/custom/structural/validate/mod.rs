//! Checking values against a schema, with the reasons and texts of Kubernetes.
//!
//! Kubernetes runs kube-openapi's validator and turns its findings into field errors
//! (`apiextensions-apiserver/pkg/apiserver/validation`); list types and embedded resources are checked beside it. The
//! texts name the field twice ("spec.n: Invalid value: 5: spec.n in body should be ..."), as clients know them.

mod embedded;
mod lists;
mod logic;
mod values;

use super::schema::{Additional, Schema};
pub(crate) use lists::key as list_key;
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use serde_json::{Map, Value};

/// Checks a value against its schema. `path` is where the value stands, as the messages say it; `None` is the root.
///
/// The list has the errors in the order of the checks: the value's own, then its parts in the order of their names.
pub fn validate(value: &Value, schema: &Schema, path: Option<&FieldPath<'_>>) -> FieldErrors {
    let mut run = Run::default();
    run.schema(value, schema, &Place { path });
    run.errors
}

/// Checks a default at its place in a definition: the texts name no field, since the value is the root of its schema.
pub fn validate_default(value: &Value, schema: &Schema, path: &FieldPath<'_>) -> FieldErrors {
    let mut errors = validate(value, schema, None);
    for error in &mut errors {
        let below = std::mem::take(&mut error.field);
        error.field = match below.as_str() {
            "<nil>" => path.to_string(),
            below if below.starts_with('[') => format!("{path}{below}"),
            below => format!("{path}.{below}"),
        };
    }
    errors
}

/// Checks what list types demand: unique items, and key fields that are there (`schema/listtype`).
pub fn validate_lists(value: &Value, schema: &Schema, path: Option<&FieldPath<'_>>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    lists::check(value, schema, path, &mut errors);
    errors
}

/// Checks the type headers and metadata of embedded resources (`schema/objectmeta`).
pub fn validate_embedded(value: &Value, schema: &Schema, path: Option<&FieldPath<'_>>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    embedded::check(value, schema, path, &mut errors);
    errors
}

/// Findings of one pass; logical parts run passes of their own.
#[derive(Default)]
struct Run {
    errors: FieldErrors,
    /// How many parts were looked at: the branch of an `anyOf` that got furthest is the one that is reported.
    matched: usize,
}

/// A place in the value: the path that errors are about and that their texts repeat.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: Option<&'a FieldPath<'a>>,
}

impl Place<'_> {
    /// The field as the text says it; empty for a root.
    fn text(&self) -> String {
        match self.path {
            Some(path) => path.to_string(),
            None => String::new(),
        }
    }

    fn at<R>(&self, then: impl FnOnce(&FieldPath<'_>) -> R) -> R {
        match self.path {
            Some(path) => then(path),
            None => then(&FieldPath::nil()),
        }
    }
}

/// Runs with the path of a field below; the root has none.
pub(crate) fn with_child<R>(path: Option<&FieldPath<'_>>, name: &str, then: impl FnOnce(&FieldPath<'_>) -> R) -> R {
    match path {
        Some(path) => then(&path.child(name)),
        None => then(&FieldPath::new(name)),
    }
}

/// As [`with_child`], for an entry of a map.
pub(crate) fn with_key<R>(path: Option<&FieldPath<'_>>, name: &str, then: impl FnOnce(&FieldPath<'_>) -> R) -> R {
    match path {
        Some(path) => then(&path.key(name)),
        None => then(&FieldPath::new("").key(name)),
    }
}

/// As [`with_child`], for an item of a list.
pub(crate) fn with_index<R>(path: Option<&FieldPath<'_>>, index: usize, then: impl FnOnce(&FieldPath<'_>) -> R) -> R {
    match path {
        Some(path) => then(&path.index(index)),
        None => then(&FieldPath::new("").index(index)),
    }
}

impl Run {
    fn schema(&mut self, value: &Value, schema: &Schema, place: &Place<'_>) {
        self.matched += 1;
        if !values::kind(value, schema, place, &mut self.errors) {
            return;
        }
        if value.is_null() {
            return;
        }
        values::allowed(value, schema, place, &mut self.errors);
        match value {
            Value::String(text) => values::text(text, schema, place, &mut self.errors),
            Value::Number(number) => values::number(number, schema, place, &mut self.errors),
            Value::Array(items) => self.items(items, schema, place),
            Value::Object(map) => self.fields(map, schema, place),
            _ => {}
        }
        self.logic(value, schema, place);
    }

    fn items(&mut self, items: &[Value], schema: &Schema, place: &Place<'_>) {
        values::item_count(items, schema, place, &mut self.errors);
        let Some(inner) = &schema.items else { return };
        for (i, item) in items.iter().enumerate() {
            with_index(place.path, i, |path| self.schema(item, inner, &Place { path: Some(path) }));
        }
    }

    fn fields(&mut self, map: &Map<String, Value>, schema: &Schema, place: &Place<'_>) {
        values::property_count(map, schema, place, &mut self.errors);
        for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
            with_child(place.path, name, |path| self.errors.push(FieldError::required(path, "")));
        }
        for (name, value) in map {
            if let Some(inner) = schema.properties.get(name) {
                with_child(place.path, name, |path| self.schema(value, inner, &Place { path: Some(path) }));
            } else if let Some(inner) = schema.value_schema() {
                // Errors about map entries have the key as a field, as in Kubernetes.
                with_child(place.path, name, |path| self.schema(value, inner, &Place { path: Some(path) }));
            } else if let Some(Additional::Any(false)) = schema.additional {
                let text = format!("{name} in body is a forbidden property");
                with_child(place.path, name, |path| self.errors.push(FieldError::invalid(path, "", text)));
            }
        }
    }
}
