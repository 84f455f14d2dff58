//! Custom resource definitions: names, versions and sub-resources. Their schemas, with the rules in CEL, are checked by
//! [`crate::custom::definition`].

use super::rules::{Generation, Kind};
use super::tree::*;
use crate::custom::definition::check_schema;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SPEC: FieldPath<'static> = FieldPath::new("spec");

/// The rules of `customresourcedefinitions`.
pub(super) static DEFINITION: Kind = Kind {
    status: true,
    unconditional_update: false,
    name: |_| Vec::new(),
    default,
    prepare_create,
    prepare_update,
    validate: |object, e| {
        named(object, e);
        validate(object, e);
    },
    validate_update: |new, old, e| {
        validate(new, e);
        established(new, old, e);
    },
    ..Kind::CLUSTER.with_generation(Generation::Spec)
};

fn default(object: &mut Value) {
    let spec = ensure(object, "spec");
    let names = ensure(spec, "names");
    let kind = text(names, "kind").to_owned();
    if !kind.is_empty() {
        put_text(names, "singular", &kind.to_lowercase());
        put_text(names, "listKind", &format!("{kind}List"));
    }
    let conversion = ensure(spec, "conversion");
    put_text(conversion, "strategy", "None");
    if let Some(service) = child_at(conversion, "webhook.clientConfig.service") {
        put_default(service, "port", 443);
    }
}

fn storage(spec: &Value) -> impl DoubleEndedIterator<Item = &str> {
    list(spec, "versions").iter().filter(|version| flag(version, "storage")).map(|version| text(version, "name"))
}

fn prepare_create(object: &mut Value) {
    let stored: Vec<Value> = storage(get(object, "spec")).take(1).map(Value::from).collect();
    let names = json!({"plural": "", "kind": ""});
    put(object, "status", json!({"conditions": null, "acceptedNames": names, "storedVersions": stored}));
}

/// A version that becomes the storage version counts as stored from then on.
fn prepare_update(new: &mut Value, _old: &Value) {
    let Some(current) = storage(get(new, "spec")).next().map(str::to_owned) else { return };
    let status = ensure(new, "status");
    if !texts(status, "storedVersions").contains(&current.as_str()) {
        let mut all = list(status, "storedVersions").to_vec();
        all.push(Value::from(current));
        put(status, "storedVersions", all);
    }
}

/// The name follows from the spec; an update changes neither, and says so of the field that it changed.
fn named(object: &Value, e: &mut FieldErrors) {
    let (spec, meta) = (get(object, "spec"), FieldPath::new("metadata"));
    let name = text(get(object, "metadata"), "name");
    let (group, plural) = (text(spec, "group"), text(at(object, "spec.names"), "plural"));
    if name != format!("{plural}.{group}") {
        e.invalid(&meta.child("name"), name, "must be spec.names.plural+\".\"+spec.group");
    }
}

fn validate(object: &Value, e: &mut FieldErrors) {
    let spec = get(object, "spec");
    let group = text(spec, "group");
    self::group(group, e);
    e.supported(&SPEC.child("scope"), text(spec, "scope"), &["Cluster", "Namespaced"]);
    versions(spec, e);
    kind_names(get(spec, "names"), e);
    version_parts(spec, e);
    conversion(get(spec, "conversion"), e);
    stored(object, e);
    approval(object, group, e);
}

fn group(group: &str, e: &mut FieldErrors) {
    let path = SPEC.child("group");
    if group.is_empty() {
        return e.required(&path, "");
    }
    let broken = names::dns1123_subdomain(group);
    if !broken.is_empty() {
        return e.invalid(&path, group, broken.join(","));
    }
    if !group.contains('.') {
        e.invalid(&path, group, "should be a domain with at least one dot");
    }
}

fn versions(spec: &Value, e: &mut FieldErrors) {
    let (all, path) = (list(spec, "versions"), SPEC.child("versions"));
    let mut seen = BTreeSet::new();
    let mut unique = true;
    for (i, version) in all.iter().enumerate() {
        let at = path.index(i);
        let name = text(version, "name");
        unique &= seen.insert(name);
        let broken = names::dns1035_label(name);
        if !broken.is_empty() {
            e.invalid(&at.child("name"), name, broken.join(","));
        }
        if at_schema(version).is_null() {
            let schema = at.child("schema");
            e.required(&schema.child("openAPIV3Schema"), "");
        }
    }
    if !unique {
        e.invalid(&path, get(spec, "versions"), "must contain unique version names");
    }
    if storage(spec).count() != 1 {
        e.invalid(&path, get(spec, "versions"), "must have exactly one version marked as storage version");
    }
    if let Some(first) = all.first() {
        let broken = names::dns1035_label(text(first, "name"));
        if !broken.is_empty() {
            e.invalid(&SPEC.child("version"), text(first, "name"), broken.join(","));
        }
    }
}

fn at_schema(version: &Value) -> &Value {
    at(version, "schema.openAPIV3Schema")
}

fn kind_names(value: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("names");
    for field in ["plural", "singular"] {
        let name = text(value, field);
        let broken = names::dns1035_label(name);
        if !broken.is_empty() {
            e.invalid(&path.child(field), name, broken.join(","));
        }
    }
    for field in ["kind", "listKind"] {
        let name = text(value, field);
        let broken = names::dns1035_label(&name.to_lowercase());
        if !broken.is_empty() {
            let rule = format!("may have mixed case, but should otherwise match: {}", broken.join(","));
            e.invalid(&path.child(field), name, rule);
        }
    }
    for field in ["shortNames", "categories"] {
        let at = path.child(field);
        for (i, name) in texts(value, field).into_iter().enumerate() {
            let broken = names::dns1035_label(name);
            if !broken.is_empty() {
                e.invalid(&at.index(i), name, broken.join(","));
            }
        }
    }
    if !text(value, "kind").is_empty() && text(value, "kind") == text(value, "listKind") {
        e.invalid(&path.child("listKind"), text(value, "listKind"), "kind and listKind may not be the same");
    }
}

/// Parts that all versions share are reported as the definition's, as Kubernetes holds them inside.
fn version_parts(spec: &Value, e: &mut FieldErrors) {
    let all = list(spec, "versions");
    let Some(first) = all.first() else { return };
    let shared = |field: &str| all.iter().all(|version| get(version, field) == get(first, field));
    let path = SPEC.child("versions");
    for (i, version) in all.iter().enumerate() {
        let here = path.index(i);
        let schema = at_schema(version);
        if shared("schema") {
            if i == 0 {
                e.extend(check_schema(schema, &SPEC.child("validation")));
            }
        } else {
            e.extend(check_schema(schema, &here.child("schema")));
        }
        for (field, check) in PARTS {
            if shared(field) {
                if i == 0 {
                    check(version, &SPEC.child(field), e);
                }
            } else {
                check(version, &here.child(field), e);
            }
        }
    }
}

type Check = fn(&Value, &FieldPath<'_>, &mut FieldErrors);
const PARTS: [(&str, Check); 3] =
    [("subresources", subresources), ("additionalPrinterColumns", columns), ("selectableFields", selectable)];

fn subresources(version: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let scale = at(version, "subresources.scale");
    if scale.is_null() {
        return;
    }
    let at = path.child("scale");
    for (field, under, must) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", "", false),
    ] {
        let (value, here) = (text(scale, field), at.child(field));
        if value.is_empty() {
            if must {
                e.required(&here, "");
            }
        } else if !value.starts_with('.') || value.contains(['[', ']', '*']) {
            e.invalid(&here, value, "must be a simple json path starting with .");
        } else if must && !value.starts_with(under) {
            e.invalid(&here, value, format!("should be a json path under {}", under.trim_end_matches('.')));
        } else if !must && !value.starts_with(".spec.") && !value.starts_with(".status.") {
            e.invalid(&here, value, "should be a json path under either .spec or .status");
        }
    }
}

fn columns(version: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 10] =
        ["byte", "date", "date-time", "double", "float", "int32", "int64", "name", "password", "string"];
    for (i, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        let at = path.index(i);
        if text(column, "name").is_empty() {
            e.required(&at.child("name"), "");
        }
        match text(column, "type") {
            "" => e.required(&at.child("type"), format!("must be one of {}", TYPES.join(","))),
            kind if !TYPES.contains(&kind) => {
                e.invalid(&at.child("type"), kind, format!("must be one of {}", TYPES.join(",")));
            }
            _ => {}
        }
        let format = text(column, "format");
        if !format.is_empty() && !FORMATS.contains(&format) {
            e.invalid(&at.child("format"), format, format!("must be one of {}", FORMATS.join(",")));
        }
        match text(column, "jsonPath") {
            "" => e.required(&at.child("JSONPath"), ""),
            value if !value.starts_with(['.', '[', '{']) => {
                e.invalid(&at.child("JSONPath"), value, "must be a json path starting with .");
            }
            _ => {}
        }
    }
}

fn selectable(version: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, field) in list(version, "selectableFields").iter().enumerate() {
        let at = path.index(i);
        let (here, value) = (at.child("jsonPath"), text(field, "jsonPath"));
        if value.is_empty() {
            e.required(&here, "");
            continue;
        }
        let parts: Vec<&str> = value.trim_start_matches('.').split('.').collect();
        let found = parts.iter().try_fold(at_schema(version), |schema, part| get(schema, "properties").get(part));
        match found {
            None => e.invalid(&here, value, "is an invalid path: does not refer to a valid field"),
            Some(schema) if !["string", "boolean", "integer"].contains(&text(schema, "type")) => {
                e.invalid(&here, value, "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.");
            }
            Some(_) if parts[0] == "metadata" => {
                e.invalid(&here, value, "must not point to fields in metadata");
            }
            Some(_) => {}
        }
        if !seen.insert(value) {
            e.duplicate(&here, value);
        }
    }
}

fn conversion(value: &Value, e: &mut FieldErrors) {
    let path = SPEC.child("conversion");
    let strategy = text(value, "strategy");
    let webhook = path.child("webhook");
    match strategy {
        "" => e.required(&path.child("strategy"), ""),
        other => e.supported(&path.child("strategy"), other, &["None", "Webhook"]),
    }
    if strategy == "Webhook" {
        match at(value, "webhook.clientConfig") {
            Value::Null => e.required(&path.child("webhookClientConfig"), "required when strategy is set to Webhook"),
            config => super::admission::client(config, &path.child("webhookClientConfig"), e),
        }
        if list(get(value, "webhook"), "conversionReviewVersions").is_empty() {
            e.required(&path.child("conversionReviewVersions"), "");
        }
    } else if has(value, "webhook") {
        e.forbidden(&webhook, "should not be set when strategy is not set to Webhook");
    }
}

fn stored(object: &Value, e: &mut FieldErrors) {
    let (spec, status) = (get(object, "spec"), get(object, "status"));
    let root = FieldPath::new("status");
    let path = root.child("storedVersions");
    let names = texts(status, "storedVersions");
    if names.is_empty() {
        return e.invalid(&path, &Value::Null, "must have at least one stored version");
    }
    for (i, name) in names.iter().enumerate() {
        if !list(spec, "versions").iter().any(|version| text(version, "name") == *name) {
            e.invalid(&path.index(i), *name, format!("missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"));
        }
    }
    if let Some(current) = storage(spec).next_back().filter(|current| !names.contains(current)) {
        e.invalid(&path, get(status, "storedVersions"), format!("must have the storage version {current}"));
    }
}

/// Groups of the Kubernetes community need a mark that the community agreed.
fn approval(object: &Value, group: &str, e: &mut FieldErrors) {
    const KEY: &str = "api-approved.kubernetes.io";
    let guarded = ["k8s.io", "kubernetes.io"].iter().any(|d| group == *d || group.ends_with(&format!(".{d}")));
    if !guarded {
        return;
    }
    let value = text(at(object, "metadata.annotations"), KEY);
    let meta = FieldPath::new("metadata");
    let path = meta.child("annotations");
    if value.is_empty() {
        let rule = format!(
            "protected groups must have approval annotation \"{KEY}\", see https://github.com/kubernetes/enhancements/pull/1111"
        );
        e.required(&path.key(KEY), rule);
    } else if !value.starts_with("unapproved") && !value.contains("://") {
        let rule = format!(
            "protected groups must have approval annotation \"{KEY}\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
        );
        e.invalid(&path.key(KEY), value, rule);
    }
}

/// What stays once names are accepted.
fn established(new: &Value, old: &Value, e: &mut FieldErrors) {
    let accepted = list(get(old, "status"), "conditions")
        .iter()
        .any(|c| text(c, "type") == "Established" && text(c, "status") == "True");
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    let names = SPEC.child("names");
    if accepted {
        e.immutable(&SPEC.child("scope"), get(spec, "scope"), get(was, "scope"));
        e.immutable(&names.child("kind"), at(new, "spec.names.kind"), at(old, "spec.names.kind"));
    }
    e.immutable(&SPEC.child("group"), get(spec, "group"), get(was, "group"));
    e.immutable(&names.child("plural"), at(new, "spec.names.plural"), at(old, "spec.names.plural"));
}
