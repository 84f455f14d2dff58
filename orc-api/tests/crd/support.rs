//! Servers over one backend, definitions, and requests in JSON.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use orc_api::identity::service_account::Signer;
use orc_api::{Identity, Registry, RegistryOptions};
use orc_core::env::System;
use orc_core::{ApiError, Doc, Name, ObjectKey, ResourceId};
use orc_store::client::{
    DeleteOptions, Intent, ListOptions, ObjectClient as _, Outcome, PatchKind, ReadOptions, Scope, Target,
    WriteOptions, WriteRequest,
};
use orc_store::{Backend, Store};
use serde_json::{Value, json};

pub(crate) struct Server(pub(crate) Arc<Registry>);

pub(crate) async fn server(backend: Arc<dyn Backend>, system: &System) -> Server {
    let store = Store::open(backend, Registry::fields(), system.clone()).await.unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let service_cidr = (Ipv4Addr::new(10, 96, 0, 0), 24);
    let signer = Arc::new(Signer::new(&key).unwrap());
    let options = RegistryOptions { service_cidr, node_ports: (30000, 30100), signer };
    let server = Server(Registry::open(store, options, system.clone()).await.unwrap());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}});
    let made = server.create("v1", "namespaces", namespace).await;
    assert!(made.is_ok() || made.is_err_and(|error| error.is_already_exists()));
    server
}

pub(crate) const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";
pub(crate) const WIDGETS: &str = "widgets.example.com";
pub(crate) const AUTOSCALERS: &str = "horizontalpodautoscalers.autoscaling";

fn key(resource: &str, name: &str) -> ObjectKey {
    let namespace = [WIDGETS, AUTOSCALERS].contains(&resource).then(|| Name::new("d"));
    ObjectKey { resource: ResourceId::parse(resource), namespace, name: Name::new(name) }
}

/// A definition of widgets with these versions.
pub(crate) fn definition(versions: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": WIDGETS},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": versions}})
}

pub(crate) fn version(name: &str, storage: bool, spec: Value) -> Value {
    json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object",
        "properties": {"spec": {"type": "object", "properties": spec}}}}})
}

pub(crate) fn widget(version: &str, name: &str, spec: Value) -> Value {
    let api_version = format!("example.com/{version}");
    json!({"apiVersion": api_version, "kind": "Widget", "metadata": {"name": name, "namespace": "d"}, "spec": spec})
}

impl Server {
    async fn write(&self, version: &str, request: WriteRequest) -> Result<Value, ApiError> {
        let client = self.0.client(Identity::admin(), "test").in_version(version);
        match client.write(request).await?.outcome {
            Outcome::Persisted(stored) => Ok(stored.to_doc()?.into_value()),
            Outcome::Unsaved(doc) => Ok(doc.into_value()),
            Outcome::Status(status) => Ok(status),
            Outcome::Collection(_) => Ok(Value::Null),
        }
    }

    pub(crate) async fn create(&self, version: &str, resource: &str, object: Value) -> Result<Value, ApiError> {
        let doc = Doc::from_value(object)?;
        let target = Target::object(key(resource, doc.name()));
        self.write(version, WriteRequest::new(target, Intent::Create(doc))).await
    }

    pub(crate) async fn patch(&self, version: &str, of: (&str, &str), patch: Value) -> Result<Value, ApiError> {
        let intent = Intent::Patch(PatchKind::Merge, patch.to_string().into());
        self.write(version, WriteRequest::new(Target::object(key(of.0, of.1)), intent)).await
    }

    /// Applies a configuration, in its own version.
    pub(crate) async fn apply(&self, manager: &str, resource: &str, config: Value) -> Result<Value, ApiError> {
        let version = config["apiVersion"].as_str().unwrap().to_owned();
        let intent = Intent::Patch(PatchKind::Apply, config.to_string().into());
        let target = Target::object(key(resource, config["metadata"]["name"].as_str().unwrap()));
        let options = WriteOptions { field_manager: Some(manager.to_owned()), ..WriteOptions::default() };
        self.write(&version, WriteRequest { options, ..WriteRequest::new(target, intent) }).await
    }

    pub(crate) async fn delete(&self, resource: &str, name: &str) -> Result<Value, ApiError> {
        let intent = Intent::Delete(DeleteOptions::default());
        self.write("v1", WriteRequest::new(Target::object(key(resource, name)), intent)).await
    }

    pub(crate) async fn get(&self, version: &str, resource: &str, name: &str) -> Result<Value, ApiError> {
        let client = self.0.client(Identity::admin(), "test").in_version(version);
        let found = client.get(&Target::object(key(resource, name)), &ReadOptions::default()).await?;
        Ok(found.stored()?.to_doc()?.into_value())
    }

    /// The names of the widgets that a field selector takes, as a version shows them.
    pub(crate) async fn list(&self, version: &str, fields: &str) -> Result<Vec<Value>, ApiError> {
        let mut options = ListOptions::default();
        options.select.fields = orc_core::labels::FieldSelector::parse(fields).unwrap();
        let client = self.0.client(Identity::admin(), "test").in_version(version);
        let listing = client.list(&Scope::all(ResourceId::parse(WIDGETS)), &options).await?;
        listing.items.iter().map(|item| Ok(item.to_doc()?.into_value())).collect()
    }

    pub(crate) async fn established(&self) {
        until(async || {
            let found = self.get("v1", CRDS, WIDGETS).await.unwrap();
            found["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Established" && c["status"] == "True")
        })
        .await;
    }
}

/// Tries until it holds.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come to hold within five seconds");
}
