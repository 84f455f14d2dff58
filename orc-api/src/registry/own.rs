//! Kinds of an embedder's own: a definition as custom resources have, and rules in Rust beside those of its schema.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube_core::CustomResourceExt;
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{
    Intent, ObjectClient as _, PatchKind, Scope, Target, WatchOptions, WriteOptions, WriteRequest,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Registry;
use super::custom::{CustomRules, definitions};
use crate::identity::Identity;
use crate::kinds::Strategy;
use crate::kinds::tree::{at, list, text};

/// How long a definition may take to be established: its task answers at once, unless the store does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// The new object, the old one on updates, and where to put what is wrong.
type Check = dyn Fn(&Value, Option<&Value>, &mut FieldErrors) + Send + Sync;

/// A kind to be served: `OwnKind::new::<Widget>().status().validate(check)`, then [`Registry::serve_kind`].
///
/// It is a custom resource in all that clients see. The rules in Rust run in this process alone: servers of one cluster must
/// all be given them.
#[derive(Clone)]
pub struct OwnKind {
    definition: Result<Value, String>,
    check: Option<Arc<Check>>,
}

impl fmt::Debug for OwnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKind").field("definition", &self.definition).finish_non_exhaustive()
    }
}

impl OwnKind {
    /// A kind of `#[derive(CustomResource)]`: names, scope and schema are those of the derive.
    pub fn new<K: CustomResourceExt>() -> Self {
        let definition = serde_json::to_value(K::crd()).map_err(|error| error.to_string());
        Self { definition, check: None }
    }

    /// A kind by its whole `CustomResourceDefinition`.
    pub fn of(definition: Value) -> Self {
        Self { definition: Ok(definition), check: None }
    }

    /// Adds the sub-resource `status` to each version: what is below `status` is then written through it alone.
    #[must_use]
    pub fn status(self) -> Self {
        self.subresource("status", json!({}))
    }

    /// Adds the sub-resource `scale` to each version, by the paths of both numbers, such as `.spec.replicas`.
    #[must_use]
    pub fn scale(self, wanted: &str, present: &str) -> Self {
        self.subresource("scale", json!({"specReplicasPath": wanted, "statusReplicasPath": present}))
    }

    /// A rule in Rust, asked of each create and update after the schema found nothing. It is given the new object, and the
    /// old one on updates; what it adds to the errors is answered with status 422. It must be pure: a write may ask again.
    #[must_use]
    pub fn validate<K, F>(mut self, check: F) -> Self
    where
        K: DeserializeOwned,
        F: Fn(&K, Option<&K>, &mut FieldErrors) + Send + Sync + 'static,
    {
        self.check = Some(Arc::new(move |new, old, errors| {
            let old = old.map(K::deserialize).transpose();
            match (K::deserialize(new), old) {
                (Ok(new), Ok(old)) => check(&new, old.as_ref(), errors),
                // An old object that the type does not read must not keep a new one from healing it.
                (Ok(new), Err(_)) => check(&new, None, errors),
                (Err(error), _) => {
                    let why = format!("does not read as {}: {error}", std::any::type_name::<K>());
                    errors.push(FieldError::invalid(&FieldPath::nil(), &Value::Null, why));
                }
            }
        }));
        self
    }

    fn subresource(mut self, name: &str, value: Value) -> Self {
        let versions = self.definition.as_mut().ok().and_then(|d| d.pointer_mut("/spec/versions"));
        for version in versions.and_then(Value::as_array_mut).into_iter().flatten() {
            version["subresources"][name] = value.clone();
        }
        self
    }
}

impl Registry {
    /// Serves a kind: keeps its definition in the store, as `fieldManager` `orc`, and returns when it is established. A
    /// definition that is there already is brought to this form.
    ///
    /// # Errors
    /// 422 when the definition breaks the rules of definitions, 409 when its names belong to another one, and those of the
    /// store.
    pub async fn serve_kind(self: &Arc<Self>, kind: OwnKind) -> Result<(), ApiError> {
        let definition = kind.definition.map_err(ApiError::bad_request)?;
        let mut doc = Doc::from_value(definition)?;
        doc.set(&["apiVersion"], "apiextensions.k8s.io/v1");
        doc.set(&["kind"], "CustomResourceDefinition");
        let name = doc.name().to_owned();
        // Before the definition: no object may come in without its rules.
        if let Some(check) = kind.check {
            self.definitions.check(ResourceId::parse(&name), OwnCheck(check));
        }
        let client = self.trusted(Identity::admin(), "orc");
        let target = Target::object(ObjectKey::cluster(definitions(), name.as_str()));
        let options = WriteOptions { force: true, ..WriteOptions::default() };
        let apply = Intent::Patch(PatchKind::Apply, doc.to_body());
        client.write(WriteRequest { options, ..WriteRequest::new(target, apply) }).await?;
        tokio::select! {
            biased;
            established = self.established(&name) => established,
            () = self.system.clock.sleep(PATIENCE) => {
                Err(ApiError::timeout(format!("{name} was not established in {} s", PATIENCE.as_secs())))
            }
        }
    }

    async fn established(&self, name: &str) -> Result<(), ApiError> {
        let mut changes = self.store.watch(&Scope::all(definitions()), &WatchOptions::default()).await?;
        loop {
            match self.definitions.refresh(name) {
                Some(definition) if definition.is("Established") => return Ok(()),
                Some(definition) if names_refused(definition.doc.value()) => {
                    let why = "its names are those of another definition; see its condition NamesAccepted".to_owned();
                    return Err(ApiError::conflict("apiextensions.k8s.io", "customresourcedefinitions", name, why));
                }
                _ => {}
            }
            // A watch that ends is taken up again; it begins with the present state.
            if !matches!(changes.next().await, Some(Ok(_))) {
                changes = self.store.watch(&Scope::all(definitions()), &WatchOptions::default()).await?;
            }
        }
    }
}

fn names_refused(definition: &Value) -> bool {
    let conditions = list(at(definition, "status"), "conditions");
    conditions.iter().any(|c| text(c, "type") == "NamesAccepted" && text(c, "status") == "False")
}

/// The rules of a version with those of the embedder.
pub(super) struct OwnRules {
    pub(super) rules: Arc<CustomRules>,
    pub(super) check: OwnCheck,
}

/// An embedder's rule.
#[derive(Clone)]
pub(crate) struct OwnCheck(Arc<Check>);

impl OwnCheck {
    fn add(&self, new: &Value, old: Option<&Value>, mut errors: FieldErrors) -> FieldErrors {
        if errors.is_empty() {
            (self.0)(new, old, &mut errors);
        }
        errors
    }
}

impl Strategy for OwnRules {
    fn default(&self, object: &mut Value) {
        self.rules.default(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        self.rules.prepare_create(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, sub: Option<&str>) {
        self.rules.prepare_update(new, old, sub);
    }

    fn validate_create(&self, object: &Value) -> FieldErrors {
        self.check.add(object, None, self.rules.validate_create(object))
    }

    fn validate_update(&self, new: &Value, old: &Value, sub: Option<&str>) -> FieldErrors {
        self.check.add(new, Some(old), self.rules.validate_update(new, old, sub))
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        self.rules.warnings(new, old)
    }

    fn allow_unconditional_update(&self) -> bool {
        self.rules.allow_unconditional_update()
    }

    fn generation(&self) -> bool {
        self.rules.generation()
    }

    fn status(&self) -> bool {
        self.rules.status()
    }
}
