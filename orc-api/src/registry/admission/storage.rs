//! Storage and ingress classes that are the default, and growing claims (DefaultStorageClass, DefaultIngressClass,
//! PersistentVolumeClaimResize).

use orc_core::quota::quantity;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Freshness, ListOptions, Scope};
use serde_json::Value;

use super::super::Registry;
use crate::admission::{Attributes, Operation};

const STORAGE: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const INGRESS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];

impl Registry {
    /// Gives a new claim or ingress without a class the default one.
    pub(super) async fn default_class_of(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        if ask.operation != Operation::Create || !ask.is_main() {
            return Ok(());
        }
        let (field, resource, marks, legacy) = match ask.resource() {
            "persistentvolumeclaims" => (
                "storageClassName",
                ResourceId::new("storage.k8s.io", "storageclasses"),
                &STORAGE[..],
                "volume.beta.kubernetes.io/storage-class",
            ),
            "ingresses.networking.k8s.io" => (
                "ingressClassName",
                ResourceId::new("networking.k8s.io", "ingressclasses"),
                &INGRESS[..],
                "kubernetes.io/ingress.class",
            ),
            _ => return Ok(()),
        };
        let Some(doc) = ask.object.as_mut() else { return Ok(()) };
        let chosen = doc.at(&["spec", field]).is_some_and(|name| !name.is_null());
        if chosen || doc.at(&["metadata", "annotations", legacy]).is_some() {
            return Ok(());
        }
        if let Some(class) = self.marked(&resource, marks).await? {
            doc.set(&["spec", field], class);
        }
        Ok(())
    }

    /// The class that is marked as default: of several the newest, then the first by name.
    async fn marked(&self, resource: &ResourceId, marks: &[&str]) -> Result<Option<String>, ApiError> {
        let options = ListOptions { freshness: Freshness::Any, ..ListOptions::default() };
        let mut best: Option<(String, String)> = None;
        for item in self.store.list(&Scope::all(resource.clone()), &options).await?.items {
            let doc = Doc::from_body(&item.body)?;
            if !marks.iter().any(|mark| doc.str_at(&["metadata", "annotations", mark]) == Some("true")) {
                continue;
            }
            let made = doc.str_at(&["metadata", "creationTimestamp"]).unwrap_or_default().to_owned();
            if best.as_ref().is_none_or(|(newest, _)| made > *newest) {
                best = Some((made, doc.name().to_owned()));
            }
        }
        Ok(best.map(|(_, name)| name))
    }

    /// A claim may grow only where its class says so.
    ///
    /// # Errors
    /// 403
    pub(super) async fn check_resize(&self, ask: &Attributes<'_>) -> Result<(), ApiError> {
        if ask.resource() != "persistentvolumeclaims" || ask.operation != Operation::Update || !ask.is_main() {
            return Ok(());
        }
        let size = |claim: &Value| claim.pointer("/spec/resources/requests/storage").and_then(quantity);
        if size(ask.new_value()) <= size(ask.old_value()) {
            return Ok(());
        }
        let text = |path: &str| ask.old_value().pointer(path).and_then(Value::as_str).unwrap_or_default();
        if text("/status/phase") != "Bound" {
            return Err(ask.forbid("Only bound persistent volume claims can be expanded"));
        }
        let class = match text("/metadata/annotations/volume.beta.kubernetes.io~1storage-class") {
            "" => text("/spec/storageClassName"),
            legacy => legacy,
        };
        let key = ObjectKey::cluster(ResourceId::new("storage.k8s.io", "storageclasses"), class);
        let found = if class.is_empty() { None } else { self.store.find(&key).await? };
        let grows = found.map(|stored| stored.to_doc()).transpose()?;
        if grows.is_some_and(|doc| doc.at(&["allowVolumeExpansion"]).and_then(Value::as_bool) == Some(true)) {
            return Ok(());
        }
        Err(ask.forbid(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}
