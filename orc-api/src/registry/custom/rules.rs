//! What the registry asks of a custom kind, answered from the schema of one version.
//!
//! Follows `apiextensions-apiserver/pkg/registry/customresource`: the strategy of objects and that of their status.

use std::sync::Arc;

use orc_core::validation::{FieldError, FieldErrorKind, FieldErrors, FieldPath, names};
use serde_json::{Map, Value};

use crate::custom::definition::Version;
use crate::custom::structural::{default, validate};
use crate::kinds::tree::{Errors, at, get, int, put, remove, same, text, texts};
use crate::kinds::{Strategy, meta};

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
/// Finalizers that need no domain.
const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// The rules of one version of a custom kind.
#[derive(Debug)]
pub(crate) struct CustomRules {
    version: Arc<Version>,
    api_version: String,
    kind: String,
    namespaced: bool,
}

impl CustomRules {
    pub(crate) fn new(version: Arc<Version>, group: &str, kind: &str, namespaced: bool) -> Self {
        let api_version = format!("{group}/{}", version.name);
        Self { version, api_version, kind: kind.to_owned(), namespaced }
    }

    /// Type headers that are not this kind's.
    pub(crate) fn check_type(&self, object: &Value) -> FieldErrors {
        let mut errors = FieldErrors::new();
        for (field, must) in [("kind", &self.kind), ("apiVersion", &self.api_version)] {
            if text(object, field) != must {
                errors.invalid(&FieldPath::new(field), text(object, field), format!("must be {must}"));
            }
        }
        errors
    }

    /// The content, by schema, embedded resources and list types; what the rules in CEL say comes last, and only of an object
    /// that is sound enough for them.
    fn content(&self, new: &Value, old: Option<&Value>, errors: &mut FieldErrors) -> Vec<String> {
        let schema = &self.version.schema;
        errors.extend(validate::validate(new, schema, None));
        if let Some(scale) = &self.version.scale {
            scale.validate(new, errors);
        }
        errors.extend(validate::validate_embedded(new, schema, None));
        // Lists that were broken before the rule was made may stay so.
        if old.is_none_or(|old| validate::validate_lists(old, schema, None).is_empty()) {
            errors.extend(validate::validate_lists(new, schema, None));
        }
        let Some(rules) = &self.version.rules else { return Vec::new() };
        if errors.iter().any(blocks) {
            errors.push(FieldError::invalid(&FieldPath::nil(), &Value::Null, UNCHECKED));
            return Vec::new();
        }
        let verdict = rules.validate(new, old, schema);
        errors.extend(verdict.errors);
        verdict.warnings
    }

    /// What is broken, and what the rules in CEL warn of, which are run once for both.
    fn change(&self, new: &Value, old: &Value) -> (FieldErrors, Vec<String>) {
        let mut errors = FieldErrors::new();
        meta::validate_common(new, &mut errors);
        let types = self.check_type(new);
        if !types.is_empty() {
            errors.extend(types);
            return (errors, Vec::new());
        }
        meta::validate_update(new, old, &mut errors);
        any_finalizer(&mut errors);
        let warnings = self.content(new, Some(old), &mut errors);
        (errors, warnings)
    }
}

/// Whether an error keeps the rules from being run.
fn blocks(error: &FieldError) -> bool {
    use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

/// Custom kinds take finalizers of any name; the ones without a domain are warned of.
fn any_finalizer(errors: &mut FieldErrors) {
    errors.retain(|error| error.detail != meta::UNQUALIFIED);
}

fn content(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata");
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn generation(object: &Value) -> i64 {
    int(get(object, "metadata"), "generation").unwrap_or_default()
}

fn set_generation(object: &mut Value, to: i64) {
    if let Some(metadata) = object.get_mut("metadata") {
        put(metadata, "generation", to);
    }
}

/// Warnings of finalizers without a domain that were not there before.
fn unqualified(new: &Value, old: Option<&Value>) -> Vec<String> {
    let had = old.map(|old| texts(get(old, "metadata"), "finalizers")).unwrap_or_default();
    let mut added: Vec<&str> = texts(get(new, "metadata"), "finalizers");
    added.retain(|name| !had.contains(name) && !name.contains('/') && !STANDARD.contains(name));
    added.sort_unstable();
    let told = |name: &&str| {
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
        )
    };
    added.iter().map(told).collect()
}

impl Strategy for CustomRules {
    fn default(&self, object: &mut Value) {
        default::default(object, &self.version.schema);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.version.status {
            remove(object, "status");
        }
        set_generation(object, 1);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, sub: Option<&str>) {
        if sub == Some("status") {
            let (status, managers) = (new.get("status").cloned(), at(new, "metadata.managedFields").clone());
            *new = old.clone();
            match status {
                Some(status) => put(new, "status", status),
                None => remove(new, "status"),
            }
            if let Some(metadata) = new.get_mut("metadata") {
                match managers {
                    Value::Null => remove(metadata, "managedFields"),
                    managers => put(metadata, "managedFields", managers),
                }
            }
            return;
        }
        meta::prepare_update(new, old);
        if self.version.status {
            match old.get("status") {
                Some(status) => put(new, "status", status.clone()),
                None => remove(new, "status"),
            }
        }
        // Very old objects may have none.
        let before = generation(old).max(1);
        let moved = !same(&content(new), &content(old));
        set_generation(new, before + i64::from(moved));
    }

    fn validate_create(&self, object: &Value) -> FieldErrors {
        let mut errors = self.check_type(object);
        if errors.is_empty() {
            meta::validate(object, self.namespaced, names::dns1123_subdomain, &mut errors);
            any_finalizer(&mut errors);
            self.content(object, None, &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, _sub: Option<&str>) -> FieldErrors {
        self.change(new, old).0
    }

    fn judge_update(&self, new: &Value, old: &Value, _sub: Option<&str>) -> (FieldErrors, Vec<String>) {
        let (errors, of_rules) = self.change(new, old);
        let warnings = unqualified(new, Some(old)).into_iter().chain(of_rules).collect();
        (errors, warnings)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = unqualified(new, old);
        if let (Some(rules), Some(_)) = (&self.version.rules, old) {
            warnings.extend(rules.validate(new, old, &self.version.schema).warnings);
        }
        warnings
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn generation(&self) -> bool {
        true
    }

    fn status(&self) -> bool {
        self.version.status
    }
}
