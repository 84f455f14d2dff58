//! Rules of `metadata`, which all kinds share.

use super::tree::*;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::{Map, Value};

const METADATA: FieldPath<'static> = FieldPath::new("metadata");
/// Events may not own objects.
/// What is said of a finalizer without a domain; only built-in kinds refuse it.
pub(crate) const UNQUALIFIED: &str =
    "name is neither a standard finalizer name nor is it fully qualified (FQ name: <domain>/<name>)";
/// Finalizers that need no domain; the last is set by the server on definitions, which upstream does not check for one.
const STANDARD_FINALIZERS: [&str; 4] =
    ["kubernetes", "orphan", "foregroundDeletion", "customresourcecleanup.apiextensions.k8s.io"];
const BANNED_OWNERS: [(&str, &str); 1] = [("v1", "Event")];

/// Checks the metadata of a new object; its name must be final (generated already).
pub fn validate(object: &Value, namespaced: bool, name_rule: fn(&str) -> Vec<String>, e: &mut FieldErrors) {
    let meta = get(object, "metadata");
    let p = METADATA;
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        // The rule is applied to the prefix as if a suffix stood behind it.
        let probe = generate.strip_suffix('-').map_or(generate.to_owned(), |head| format!("{head}a"));
        e.each(&p.child("generateName"), generate, name_rule(&probe));
    }
    let name = text(meta, "name");
    if name.is_empty() {
        e.required(&p.child("name"), "name or generateName is required");
    } else {
        e.each(&p.child("name"), name, name_rule(name));
    }
    let namespace = text(meta, "namespace");
    if namespaced {
        if namespace.is_empty() {
            e.required(&p.child("namespace"), "");
        } else {
            e.each(&p.child("namespace"), namespace, names::dns1123_label(namespace));
        }
    } else if !namespace.is_empty() {
        e.forbidden(&p.child("namespace"), "not allowed on this type");
    }
    validate_accessors(meta, e);
}

/// What is checked on create and on update alike.
fn validate_accessors(meta: &Value, e: &mut FieldErrors) {
    let p = METADATA;
    e.not_negative(&p.child("generation"), int(meta, "generation"));
    labels(get(meta, "labels"), &p.child("labels"), e);
    annotations(get(meta, "annotations"), &p.child("annotations"), e);
    owners(meta, &p.child("ownerReferences"), e);
    finalizers(meta, &p.child("finalizers"), e);
}

/// Checks a map of labels.
pub fn labels(map: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    for (key, value) in map.as_object().into_iter().flatten() {
        e.each(path, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or("");
        e.each(path, value, names::label_value(value));
    }
}

/// Checks a map of annotations.
pub fn annotations(map: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut size = 0;
    for (key, value) in map.as_object().into_iter().flatten() {
        // Capitals are allowed in an annotation's prefix.
        e.each(path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > names::ANNOTATIONS_MAX {
        e.push(orc_core::validation::FieldError::too_long(path, names::ANNOTATIONS_MAX));
    }
}

fn owners(meta: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut controller: Option<String> = None;
    for owner in list(meta, "ownerReferences") {
        let (version, kind) = (text(owner, "apiVersion"), text(owner, "kind"));
        let (group, bare) = version.split_once('/').unwrap_or(("", version));
        if bare.is_empty() {
            e.invalid(&path.child("apiVersion"), version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                e.invalid(&path.child(field), "", "must not be empty");
            }
        }
        if group.is_empty() && BANNED_OWNERS.contains(&(bare, kind)) {
            e.invalid(path, owner, format!("/{bare}, Kind={kind} is disallowed from being an owner"));
        }
        if flag(owner, "controller") {
            let this = text(owner, "name").to_owned();
            if let Some(first) = &controller {
                let rule = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                e.invalid(path, list_value(meta), rule);
            } else {
                controller = Some(this);
            }
        }
    }
}

fn list_value(meta: &Value) -> &Value {
    get(meta, "ownerReferences")
}

/// Checks one finalizer's name; those of Kubernetes itself need no prefix.
pub fn finalizer_name(value: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let before = e.len();
    e.each(path, value, names::qualified_name(value));
    let standard = ["kubernetes", "orphan", "foregroundDeletion"];
    if e.len() == before && !value.contains('/') && !standard.contains(&value) {
        e.invalid(path, value, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

fn finalizers(meta: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let names = texts(meta, "finalizers");
    for name in &names {
        let before = e.len();
        e.each(path, name, names::qualified_name(name));
        if e.len() == before && !name.contains('/') && !STANDARD_FINALIZERS.contains(name) {
            e.invalid(path, *name, UNQUALIFIED);
        }
    }
    if names.contains(&"orphan") && names.contains(&"foregroundDeletion") {
        e.invalid(path, get(meta, "finalizers"), "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

/// Takes back what a change of metadata is not asked about: identity that was left out, and times.
pub fn prepare_update(new: &mut Value, old: &Value) {
    let before = get(old, "metadata");
    let metadata = ensure(new, "metadata");
    for field in ["name", "namespace", "uid", "deletionGracePeriodSeconds"] {
        if text(metadata, field).is_empty() && !get(metadata, field).is_number() && has(before, field) {
            put(metadata, field, get(before, field).clone());
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if has(before, field) {
            put(metadata, field, get(before, field).clone());
        }
    }
}

/// What every update checks of the metadata itself.
pub fn validate_common(object: &Value, e: &mut FieldErrors) {
    validate_accessors(get(object, "metadata"), e);
}

/// Checks a change of metadata: identity stays, finalizers are not added while deleting.
pub fn validate_update(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (new, old) = (get(new, "metadata"), get(old, "metadata"));
    let p = METADATA;
    if has(old, "deletionTimestamp") {
        let before = texts(old, "finalizers");
        let added: Vec<&str> = texts(new, "finalizers").into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let rule = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                go_strings(&added)
            );
            e.forbidden(&p.child("finalizers"), rule);
        }
    }
    let (before, after) = (int(old, "generation").unwrap_or(0), int(new, "generation").unwrap_or(0));
    if after < before {
        e.invalid(&p.child("generation"), after, "must not be decremented");
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        e.immutable(&p.child(field), get(new, field), get(old, field));
    }
    validate_accessors(new, e);
}

/// A list of strings as Go prints it with `%#v`.
fn go_strings(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|i| orc_core::validation::go_quote(i)).collect();
    format!("[]string{{{}}}", quoted.join(", "))
}

/// The labels of an object as a map.
pub fn labels_of(object: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    at(object, "metadata.labels").as_object().unwrap_or(&EMPTY)
}
