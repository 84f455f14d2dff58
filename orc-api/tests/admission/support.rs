//! A registry over a backend, and requests in JSON.

use std::net::Ipv4Addr;
use std::sync::Arc;

use orc_api::identity::service_account::Signer;
use orc_api::{Identity, Registry, RegistryClient, RegistryOptions};
use orc_core::env::System;
use orc_core::{ApiError, Doc, Name, ObjectKey, ResourceId};
use orc_store::client::{
    DeleteOptions, Intent, ObjectClient, Outcome, PatchKind, ReadOptions, Target, WriteOptions, WriteRequest, Written,
};
use orc_store::{Backend, Store};
use serde_json::{Value, json};

pub(crate) struct Server {
    pub(crate) registry: Arc<Registry>,
    client: RegistryClient,
}

/// A server over a backend, with the namespace `d`.
pub(crate) async fn server(backend: Arc<dyn Backend>, system: &System) -> Server {
    let store = Store::open(backend, Registry::fields(), system.clone()).await.unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let cidr = (Ipv4Addr::new(10, 96, 0, 0), 24);
    let options = RegistryOptions {
        service_cidr: cidr,
        node_ports: (30000, 30100),
        signer: Arc::new(Signer::new(&key).unwrap()),
    };
    let registry = Registry::open(store, options, system.clone()).await.unwrap();
    let client = registry.client(Identity::admin(), "test");
    let server = Server { registry, client };
    let made =
        server.create("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "d"}})).await;
    assert!(made.is_ok() || made.is_err_and(|error| error.is_already_exists()));
    server
}

pub(crate) fn key(resource: &str, name: &str) -> ObjectKey {
    let id = ResourceId::parse(resource);
    let cluster = id.group() == "admissionregistration.k8s.io" || resource == "namespaces";
    ObjectKey { resource: id, namespace: (!cluster).then(|| Name::new("d")), name: Name::new(name) }
}

impl Server {
    pub(crate) async fn write(&self, key: ObjectKey, intent: Intent, dry_run: bool) -> Result<Written, ApiError> {
        let options = WriteOptions { dry_run, ..WriteOptions::default() };
        self.client.write(WriteRequest { target: Target::object(key), intent, options }).await
    }

    pub(crate) async fn create(&self, resource: &str, object: Value) -> Result<Written, ApiError> {
        let doc = Doc::from_value(object).unwrap();
        self.write(key(resource, doc.name()), Intent::Create(doc), false).await
    }

    /// A config map with labels and data.
    pub(crate) async fn config(&self, name: &str, labels: Value, data: Value) -> Result<Written, ApiError> {
        let metadata = json!({"name": name, "namespace": "d", "labels": labels});
        self.create("configmaps", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}))
            .await
    }

    pub(crate) async fn patch(&self, key: ObjectKey, patch: Value) -> Result<Written, ApiError> {
        self.write(key, Intent::Patch(PatchKind::Merge, patch.to_string().into()), false).await
    }

    pub(crate) async fn delete(&self, resource: &str, name: &str) -> Result<Written, ApiError> {
        self.write(key(resource, name), Intent::Delete(DeleteOptions::default()), false).await
    }

    pub(crate) async fn status(&self, key: ObjectKey, patch: Value) {
        let intent = Intent::Patch(PatchKind::Merge, patch.to_string().into());
        self.client.write(WriteRequest::new(Target::status(key), intent)).await.unwrap();
    }

    pub(crate) async fn get(&self, resource: &str, name: &str) -> Value {
        let found = self.client.get(&Target::object(key(resource, name)), &ReadOptions::default()).await.unwrap();
        found.stored().unwrap().to_doc().unwrap().into_value()
    }
}

/// Tries until it holds: configuration is followed by watches.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("did not come to hold within five seconds");
}

pub(crate) fn shown(written: Written) -> Value {
    match written.outcome {
        Outcome::Persisted(stored) => stored.to_doc().unwrap().into_value(),
        Outcome::Unsaved(doc) => doc.into_value(),
        other => panic!("{other:?} shows no object"),
    }
}
