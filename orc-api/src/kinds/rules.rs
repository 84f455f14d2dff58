//! A kind as a table of functions, with the storage semantics that all kinds share.

use super::{Strategy, meta, tree::*};
use orc_core::validation::{FieldErrors, names};
use serde_json::{Map, Value};

/// What makes `metadata.generation` move.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// The kind does not keep it.
    None,
    /// It moves with `spec`.
    Spec,
    /// It moves with anything outside `metadata` and `status`.
    Content,
    /// It moves with `spec`, from nothing.
    Late,
    /// It is 1 from the start and stays.
    Fixed,
}

/// The rules of one kind. Function fields do nothing unless a kind says otherwise.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) namespaced: bool,
    pub(super) status: bool,
    pub(super) generation: Generation,
    pub(super) create_on_update: bool,
    /// Whether a create may bring a status.
    pub(super) status_on_create: bool,
    /// Whether an update checks the metadata once more as on create, which shows in the number of causes.
    pub(super) revalidates_meta: bool,
    pub(super) unconditional_update: bool,
    /// The rule for the object's name.
    pub(super) name: fn(&str) -> Vec<String>,
    pub(super) default: fn(&mut Value),
    pub(super) prepare_create: fn(&mut Value),
    /// After the shared rules; called for the main resource only.
    pub(super) prepare_update: fn(&mut Value, &Value),
    /// After the shared rules; called for sub-resources only.
    pub(super) prepare_sub: fn(&mut Value, &Value, &str),
    /// Rules of the content on create.
    pub(super) validate: fn(&Value, &mut FieldErrors),
    /// Rules of a change of the main resource.
    pub(super) validate_update: fn(&Value, &Value, &mut FieldErrors),
    /// Rules of a change of a sub-resource.
    pub(super) validate_sub: fn(&Value, &Value, &str, &mut FieldErrors),
    pub(super) warnings: fn(&Value, Option<&Value>) -> Vec<String>,
    pub(super) grace: fn(&Value, Option<i64>) -> Option<i64>,
    pub(super) fields: fn(&Value) -> Vec<(&'static str, String)>,
}

impl Kind {
    /// A namespaced kind without status, named by a DNS subdomain, with no rules of its own.
    pub(super) const NAMESPACED: Kind = Kind {
        namespaced: true,
        status: false,
        generation: Generation::None,
        create_on_update: false,
        status_on_create: false,
        revalidates_meta: false,
        unconditional_update: true,
        name: names::dns1123_subdomain,
        default: |_| {},
        prepare_create: |_| {},
        prepare_update: |_, _| {},
        prepare_sub: |_, _, _| {},
        validate: |_, _| {},
        validate_update: |_, _, _| {},
        validate_sub: |_, _, _, _| {},
        warnings: |_, _| Vec::new(),
        grace: |_, _| None,
        fields: |_| Vec::new(),
    };

    /// A cluster-scoped kind, else as [`Self::NAMESPACED`].
    pub(super) const CLUSTER: Kind = Kind { namespaced: false, ..Kind::NAMESPACED };

    /// The same with a status sub-resource and a generation that moves with the spec.
    pub(super) const fn with_status(self) -> Kind {
        Kind { status: true, generation: Generation::Spec, ..self }
    }

    /// The same with a generation.
    pub(super) const fn with_generation(self, generation: Generation) -> Kind {
        Kind { generation, ..self }
    }

    fn moved(&self, new: &Value, old: &Value) -> bool {
        match self.generation {
            Generation::None | Generation::Fixed => false,
            Generation::Spec | Generation::Late => !same(get(new, "spec"), get(old, "spec")),
            Generation::Content => !same(&content(new), &content(old)),
        }
    }
}

/// The object without what never counts as a change of its content.
fn content(object: &Value) -> Value {
    let skip = ["metadata", "status", "kind", "apiVersion"];
    let fields = object.as_object().into_iter().flatten();
    let kept: Map<String, Value> =
        fields.filter(|(k, _)| !skip.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    Value::Object(kept)
}

fn set_generation(object: &mut Value, generation: i64) {
    let metadata = ensure(object, "metadata");
    if generation == 0 {
        remove(metadata, "generation");
    } else {
        put(metadata, "generation", generation);
    }
}

/// Makes `key` in `new` what it is in `old`, absence included.
pub(super) fn keep(new: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        // Most often nothing was changed: comparing costs less than a copy.
        Some(value) if new.get(key) == Some(value) => {}
        Some(value) => put(new, key, value.clone()),
        None => remove(new, key),
    }
}

/// Makes every field in `new` what it is in `old`, some left alone.
fn keep_all_but(new: &mut Value, old: &Value, left: &[&str]) {
    let names = |object: &Value| -> Vec<String> {
        let names = object.as_object().into_iter().flat_map(Map::keys);
        names.filter(|name| !left.contains(&name.as_str())).cloned().collect()
    };
    for name in names(new) {
        keep(new, old, &name);
    }
    for name in names(old).iter().filter(|name| new.get(name.as_str()).is_none()).collect::<Vec<_>>() {
        keep(new, old, name);
    }
}

impl Strategy for Kind {
    fn default(&self, object: &mut Value) {
        (self.default)(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if self.status && !self.status_on_create {
            remove(object, "status");
        }
        set_generation(object, i64::from(!matches!(self.generation, Generation::None | Generation::Late)));
        (self.prepare_create)(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, sub: Option<&str>) {
        let generation = int(get(old, "metadata"), "generation").unwrap_or(0);
        meta::prepare_update(new, old);
        match sub {
            None => {
                if self.status {
                    keep(new, old, "status");
                }
                set_generation(new, generation);
                (self.prepare_update)(new, old);
                if self.moved(new, old) {
                    set_generation(new, generation + 1);
                }
            }
            Some("status") => {
                keep_all_but(new, old, &["metadata", "status"]);
                set_generation(new, generation);
                (self.prepare_sub)(new, old, "status");
            }
            Some(other) => {
                set_generation(new, generation);
                (self.prepare_sub)(new, old, other);
                // Where a pod runs is not its wish: a binding is no new generation.
                if other != "binding" && self.moved(new, old) {
                    set_generation(new, generation + 1);
                }
            }
        }
    }

    fn validate_create(&self, object: &Value) -> FieldErrors {
        let mut errors = FieldErrors::new();
        meta::validate(object, self.namespaced, self.name, &mut errors);
        (self.validate)(object, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, sub: Option<&str>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        // Kubernetes checks what is common to all kinds first and the kind checks it again; clients see each cause.
        meta::validate_common(new, &mut errors);
        meta::validate_update(new, old, &mut errors);
        meta::validate_update(new, old, &mut errors);
        if self.revalidates_meta && sub.is_none() {
            meta::validate_common(new, &mut errors);
        }
        match sub {
            None => (self.validate_update)(new, old, &mut errors),
            Some(sub) => (self.validate_sub)(new, old, sub, &mut errors),
        }
        errors
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        (self.warnings)(new, old)
    }

    fn allow_create_on_update(&self) -> bool {
        self.create_on_update
    }

    fn allow_unconditional_update(&self) -> bool {
        self.unconditional_update
    }

    fn generation(&self) -> bool {
        !matches!(self.generation, Generation::None | Generation::Late)
    }

    fn status(&self) -> bool {
        self.status
    }

    fn graceful_delete(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        (self.grace)(object, requested)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        (self.fields)(object)
    }
}
