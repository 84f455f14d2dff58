//! The loop that type checks ValidatingAdmissionPolicies and writes what it finds into their status.
//!
//! It runs where the controllers do, as upstream. What it writes follows from what is stored, so that a second one beside it changes
//! nothing. A policy is checked once a generation, as upstream: a definition that comes later is seen when the policy changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt as _;
use orc_core::env::Clock;
use orc_core::schema::Schema;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Store;
use orc_store::client::{Freshness, Intent, PatchKind, Scope, Subresource, WatchOptions, WriteOptions};
use serde_json::{Value, json};

use super::Registry;
use crate::admission::{type_check, types};
use crate::cel::{ObjectType, Type};
use crate::custom::rules;
use crate::identity::Identity;

/// How long to wait before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Who writes, as upstream's controller is called.
const MANAGER: &str = "validatingadmissionpolicy-status-controller";

fn policies() -> ResourceId {
    ResourceId::new("admissionregistration.k8s.io", "validatingadmissionpolicies")
}

/// A watch begins with what is there; what fails stays noted.
async fn run(registry: Weak<Registry>, store: Arc<Store>, clock: Clock) {
    let mut again: BTreeSet<String> = BTreeSet::new();
    loop {
        if let Ok(mut stream) = store.watch(&Scope::all(policies()), &WatchOptions::default()).await {
            loop {
                tokio::select! {
                    biased;
                    event = stream.next() => match event {
                        Some(Ok(event)) => again.extend(event.object().map(|object| object.key.name.to_string())),
                        _ => break,
                    },
                    () = clock.sleep(PAUSE), if !again.is_empty() => {}
                }
                let Some(registry) = registry.upgrade() else { return };
                again = work(&registry, std::mem::take(&mut again)).await;
            }
        }
        clock.sleep(PAUSE).await;
    }
}

/// Looks at policies; returns those for which it has to be tried again.
async fn work(registry: &Registry, names: BTreeSet<String>) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for name in names {
        if let Err(error) = registry.type_check(&name).await {
            tracing::warn!(%error, name, "the status of a ValidatingAdmissionPolicy cannot be written yet");
            failed.insert(name);
        }
    }
    failed
}

impl Registry {
    /// Type checks each ValidatingAdmissionPolicy and writes its `status.observedGeneration` and `status.typeChecking`, until the
    /// registry is gone.
    pub fn policy_status(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        run(Arc::downgrade(self), self.store.clone(), self.system.clock.clone())
    }

    /// Checks a policy whose generation was not checked yet.
    async fn type_check(&self, name: &str) -> Result<(), ApiError> {
        let key = ObjectKey::cluster(policies(), name);
        let Some(stored) = self.store.get(&key, Freshness::Any).await? else { return Ok(()) };
        let policy = stored.to_doc()?;
        let number = |path: &[&str]| policy.at(path).and_then(Value::as_i64).unwrap_or_default();
        let generation = number(&["metadata", "generation"]);
        if generation <= number(&["status", "observedGeneration"]) {
            return Ok(());
        }
        let warnings = type_check::warnings(policy.value(), &Served(self));
        let checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
        let config = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name}, "status": {"observedGeneration": generation, "typeChecking": checking}});
        let intent = Intent::Patch(PatchKind::Apply, Doc::from_value(config)?.to_body());
        let options = WriteOptions { field_manager: Some(MANAGER.to_owned()), force: true, ..WriteOptions::default() };
        let who = Identity::user(format!("system:serviceaccount:kube-system:{MANAGER}"), &["system:masters"]);
        match self.update(&key, Some(&Subresource::STATUS), &intent, &options, &who).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

/// What the registry serves.
struct Served<'a>(&'a Registry);

impl type_check::Types for Served<'_> {
    fn kind_of(&self, group: &str, version: &str, plural: &str) -> Option<String> {
        Some(self.0.catalogue().served(group, version, plural)?.info.kind.clone())
    }

    fn type_of(&self, group: &str, version: &str, kind: &str) -> Option<Type> {
        if let Some(message) = Schema::builtin().message_of(group, version, kind) {
            return Some(types::of_message(message));
        }
        let id = self.0.catalogue().by_kind(group, version, kind)?.info.id.clone()?;
        let custom = self.0.kind_in(&id, Some(version)).ok()?.custom?;
        let declared = rules::declare(&custom.spoken.version.schema, true)?;
        let Type::Object(object) = declared else { return Some(declared) };
        let mut fields = object.fields.clone();
        fields.insert("metadata".to_owned(), types::of_metadata(kind));
        Some(Type::Object(Arc::new(ObjectType { name: kind.to_owned(), fields })))
    }
}
