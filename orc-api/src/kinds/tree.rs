//! Short words for reading and filling JSON trees, and for collecting field errors.
//!
//! Kubernetes does not tell an absent value from an empty one in most fields, so the readers here give the zero of
//! their type for both, and [`same`] compares that way.

use orc_core::validation::{FieldError, FieldErrors, FieldPath, Shown};
use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The field, or null.
pub fn get<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&NULL)
}

/// The field at a dotted path, or null.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, get)
}

/// Whether the field is there and not null.
pub fn has(value: &Value, key: &str) -> bool {
    !get(value, key).is_null()
}

/// The text, or "".
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    get(value, key).as_str().unwrap_or("")
}

/// The whole number, if there is one.
pub fn int(value: &Value, key: &str) -> Option<i64> {
    get(value, key).as_i64()
}

/// The truth value, or false.
pub fn flag(value: &Value, key: &str) -> bool {
    get(value, key).as_bool().unwrap_or(false)
}

/// The items, or none.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    get(value, key).as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list.
pub fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    list(value, key).iter().map(|v| v.as_str().unwrap_or("")).collect()
}

/// The entries of a map, by key.
pub fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
    get(value, key).as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), v))
}

/// Whether a value is one that Kubernetes leaves out: null, "", 0, false, {} or [].
pub fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.values().all(empty),
    }
}

/// Whether two canonical values mean the same. Absent, null, "" and [] are alike; an empty object is not, since a
/// selector of everything is not the same as none, nor is a number or truth value that is written out.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter().all(|(k, v)| same(v, y.get(k).unwrap_or(&NULL)))
                && y.iter().all(|(k, v)| x.contains_key(k) || hollow(v))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| same(v, w)),
        _ => a == b || (hollow(a) && hollow(b)),
    }
}

/// What a writer leaves out whatever the type of the field.
fn hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The field as an object, made if it is absent.
///
/// A value of another type is left alone, and the caller's writes to it have no effect.
pub fn ensure<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !has(value, key) {
        put(value, key, Value::Object(Map::new()));
    }
    field(value, key)
}

/// The field for change; must exist or be creatable.
fn field<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if value.is_object() { &mut value[key] } else { value }
}

/// The field for change, if it is there and not null.
pub fn child<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    value.get_mut(key).filter(|v| !v.is_null())
}

/// The field at a dotted path for change, if it is there.
pub fn child_at<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(value, child)
}

/// The items of a list for change.
pub fn items<'a>(value: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets a field of an object.
pub fn put(value: &mut Value, key: &str, to: impl Into<Value>) {
    if let Some(map) = value.as_object_mut() {
        map.insert(key.to_owned(), to.into());
    }
}

/// Sets a field that is absent or null.
pub fn put_default(value: &mut Value, key: &str, to: impl Into<Value>) {
    if !has(value, key) {
        put(value, key, to);
    }
}

/// Sets a text field that is absent, null or "".
pub fn put_text(value: &mut Value, key: &str, to: &str) {
    if text(value, key).is_empty() && (!has(value, key) || get(value, key).is_string()) {
        put(value, key, to);
    }
}

/// Sets a number field that is absent, null or 0.
pub fn put_number(value: &mut Value, key: &str, to: i64) {
    if !has(value, key) || int(value, key) == Some(0) {
        put(value, key, to);
    }
}

/// Removes a field.
pub fn remove(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(key);
    }
}

/// The text of the rule that a number must not be negative.
pub const NEGATIVE: &str = "must be greater than or equal to 0";
/// The text of the rule that a field never changes.
pub const IMMUTABLE: &str = "field is immutable";

/// Short words for adding errors to a list.
pub trait Errors {
    /// Adds one error.
    fn add(&mut self, error: FieldError);

    /// A value breaks a rule.
    fn invalid(&mut self, path: &FieldPath<'_>, value: impl Into<Shown>, detail: impl Into<String>) {
        self.add(FieldError::invalid(path, value, detail));
    }
    /// A value breaks several rules, one error each.
    fn each(&mut self, path: &FieldPath<'_>, value: &str, details: Vec<String>) {
        for detail in details {
            self.add(FieldError::invalid(path, value, detail));
        }
    }
    /// A value must be given.
    fn required(&mut self, path: &FieldPath<'_>, detail: impl Into<String>) {
        self.add(FieldError::required(path, detail));
    }
    /// A value may not be given.
    fn forbidden(&mut self, path: &FieldPath<'_>, detail: impl Into<String>) {
        self.add(FieldError::forbidden(path, detail));
    }
    /// A value must be unique.
    fn duplicate(&mut self, path: &FieldPath<'_>, value: impl Into<Shown>) {
        self.add(FieldError::duplicate(path, value));
    }
    /// A value must be one of a set.
    fn supported(&mut self, path: &FieldPath<'_>, value: &str, all: &[&str]) {
        if !all.contains(&value) {
            self.add(FieldError::not_supported(path, value, all));
        }
    }
    /// A number must not be negative.
    fn not_negative(&mut self, path: &FieldPath<'_>, value: Option<i64>) {
        if let Some(value) = value.filter(|v| *v < 0) {
            self.invalid(path, value, NEGATIVE);
        }
    }
    /// A value must be what it was.
    fn immutable(&mut self, path: &FieldPath<'_>, new: &Value, old: &Value) {
        if !same(new, old) {
            self.invalid(path, new, IMMUTABLE);
        }
    }
}

impl Errors for FieldErrors {
    fn add(&mut self, error: FieldError) {
        self.push(error);
    }
}
