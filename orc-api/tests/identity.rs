//! Who may do what, through the registry: nodes by their pods, certificates by their signers, tokens by what they are bound to.

use std::net::Ipv4Addr;
use std::sync::Arc;

use orc_api::bootstrap::{self, ApiEndpoint};
use orc_api::identity::service_account::Signer;
use orc_api::pki;
use orc_api::{Identity, Registry, RegistryClient, RegistryOptions};
use orc_core::env::System;
use orc_core::labels::FieldSelector;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Store;
use orc_store::backend::MemoryBackend;
use orc_store::client::{
    Intent, ListOptions, ObjectClient as _, PatchKind, ReadOptions, Scope, Selection, Subresource, Target, WriteRequest,
};
use serde_json::{Value, json};

const CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 12);

async fn registry() -> Arc<Registry> {
    let system = System::real();
    let store = Store::open(Arc::new(MemoryBackend::new()), Registry::fields(), system.clone()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pki = pki::Pki::open(folder.path(), &[], &[], &system.clock).unwrap();
    let signer = Arc::new(Signer::new(&pki.service_account_key).unwrap());
    let options = RegistryOptions { service_cidr: CIDR, node_ports: (30000, 32767), signer };
    let registry = Registry::open(store, options, system).await.unwrap();
    let endpoint = ApiEndpoint { cluster_ip: Ipv4Addr::new(10, 96, 0, 1), service_cidr: CIDR };
    bootstrap::ensure(&registry.client(Identity::admin(), "orc"), endpoint).await.unwrap();
    registry
}

fn node(registry: &Arc<Registry>, name: &str) -> RegistryClient {
    registry.client(Identity::user(format!("system:node:{name}"), &["system:nodes"]), "kubelet")
}

fn key(plural: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced(ResourceId::new("", plural), "default", name)
}

async fn create(client: &RegistryClient, key: ObjectKey, value: Value) -> Result<(), ApiError> {
    let intent = Intent::Create(Doc::from_value(value).unwrap());
    client.write(WriteRequest::new(Target::object(key), intent)).await.map(drop)
}

async fn get(client: &RegistryClient, key: ObjectKey) -> Result<(), ApiError> {
    client.get(&Target::object(key), &ReadOptions::default()).await.map(drop)
}

async fn list(client: &RegistryClient, plural: &str, fields: FieldSelector) -> Result<usize, ApiError> {
    let options = ListOptions { select: Selection { fields, ..Selection::default() }, ..ListOptions::default() };
    let scope = Scope::all(ResourceId::new("", plural));
    client.list(&scope, &options).await.map(|listing| listing.items.len())
}

fn pod(name: &str, node: &str, secret: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {
        "nodeName": node, "containers": [{"name": "c", "image": "host"}],
        "volumes": [{"name": "s", "secret": {"secretName": secret}}]}})
}

async fn world() -> (Arc<Registry>, RegistryClient) {
    let registry = registry().await;
    let admin = registry.client(Identity::admin(), "test");
    for name in ["one", "two"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}});
        create(&admin, key("secrets", name), secret).await.unwrap();
    }
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}});
    create(&admin, key("serviceaccounts", "default"), account).await.unwrap();
    for (name, node, secret) in [("a", "n1", "one"), ("b", "n2", "two")] {
        create(&admin, key("pods", name), pod(name, node, secret)).await.unwrap();
    }
    (registry, admin)
}

#[tokio::test]
async fn a_node_sees_what_its_pods_need_as_soon_as_they_are_bound() {
    let (registry, admin) = world().await;
    let n1 = node(&registry, "n1");
    get(&n1, key("secrets", "one")).await.unwrap();
    get(&n1, key("configmaps", "kube-root-ca.crt")).await.unwrap_err();
    let refused = get(&n1, key("secrets", "two")).await.unwrap_err();
    assert_eq!(refused.code(), 403);
    assert_eq!(list(&n1, "pods", FieldSelector::equal("spec.nodeName", "n1")).await.unwrap(), 1);
    assert_eq!(list(&n1, "pods", FieldSelector::default()).await.unwrap_err().code(), 403);
    assert_eq!(list(&n1, "secrets", FieldSelector::default()).await.unwrap_err().code(), 403);
    // A pod is bound and its node asks at once.
    for round in 0..50 {
        let name = format!("late-{round}");
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}});
        create(&admin, key("secrets", &name), secret).await.unwrap();
        create(&admin, key("pods", &name), pod(&name, "n1", &name)).await.unwrap();
        get(&n1, key("secrets", &name)).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_writes_only_what_is_its_own() {
    let (registry, _) = world().await;
    let n1 = node(&registry, "n1");
    let object = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let at = |name: &str| ObjectKey::cluster(ResourceId::new("", "nodes"), name);
    create(&n1, at("n1"), object("n1")).await.unwrap();
    let refused = create(&n1, at("n2"), object("n2")).await.unwrap_err();
    assert_eq!(refused.message(), "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
    let patch = |key: ObjectKey, sub: Option<&'static str>, value: Value| {
        let target = Target::Named(key, sub.map(|sub| Subresource(sub.into())));
        WriteRequest::new(target, Intent::Patch(PatchKind::Merge, value.to_string().into()))
    };
    let taint = json!({"spec": {"taints": []}});
    let refused = n1.write(patch(at("n1"), None, taint)).await.unwrap_err();
    assert_eq!(refused.message(), "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints");
    let phase = json!({"status": {"phase": "Running"}});
    n1.write(patch(key("pods", "a"), Some("status"), phase.clone())).await.unwrap();
    assert_eq!(n1.write(patch(key("pods", "b"), Some("status"), phase)).await.unwrap_err().code(), 403);
    let delete = |name: &str| WriteRequest::new(Target::object(key("pods", name)), Intent::Delete(Default::default()));
    assert_eq!(n1.write(delete("b")).await.unwrap_err().code(), 403);
    n1.write(delete("a")).await.unwrap();
}

#[tokio::test]
async fn a_node_gets_tokens_of_its_pods_only() {
    let (registry, _) = world().await;
    let uid = |name: &str| registry.store().peek(&key("pods", name)).unwrap().head.uid.to_string();
    let ask = |pod: &str, audiences: Value| {
        let spec = json!({"audiences": audiences,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid(pod)}});
        let doc = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let target = Target::Named(key("serviceaccounts", "default"), Some(Subresource::TOKEN));
        WriteRequest::new(target, Intent::Create(Doc::from_value(doc).unwrap()))
    };
    let n1 = node(&registry, "n1");
    n1.write(ask("a", json!([]))).await.unwrap();
    let refused = n1.write(ask("b", json!([]))).await.unwrap_err();
    assert!(refused.message().ends_with("node requested token bound to a pod scheduled on a different node"));
    let refused = n1.write(ask("a", json!(["vault"]))).await.unwrap_err();
    assert!(refused.message().contains("audience \"vault\" not found in pod spec volume"), "{refused}");
}

#[tokio::test]
async fn simulated_nodes_act_as_one_user_that_is_no_node() {
    let (registry, _) = world().await;
    let sim = registry.client(Identity::user(bootstrap::SIMULATED_NODES, &[]), "kubelet");
    assert_eq!(list(&sim, "pods", FieldSelector::default()).await.unwrap(), 2);
    let at = ObjectKey::cluster(ResourceId::new("", "nodes"), "sim-1");
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-1"}});
    create(&sim, at, object).await.unwrap();
}
