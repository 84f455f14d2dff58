//! The objects that every cluster starts with: namespaces, priority classes, default roles, and the Service through which
//! pods reach the API.
//!
//! Made at start where they are missing; what an administrator changed stays.

mod roles;

use std::net::Ipv4Addr;

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{DeleteOptions, Intent, ObjectClient, ReadOptions, Target, WriteRequest};
use serde_json::{Value, json};

use crate::registry::RegistryClient;

/// The namespaces of a new cluster.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// What the cluster's own Service needs to know.
#[derive(Clone, Copy, Debug)]
pub struct ApiEndpoint {
    /// The Service's address.
    pub cluster_ip: Ipv4Addr,
    /// The network of Service addresses.
    pub service_cidr: (Ipv4Addr, u8),
}

/// Makes what is missing. `client` must be an administrator's.
///
/// # Errors
/// When an object can neither be found nor made.
pub async fn ensure(client: &RegistryClient, api: ApiEndpoint) -> Result<(), ApiError> {
    for name in NAMESPACES {
        put(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await?;
    }
    for object in roles::defaults() {
        put(client, &object).await?;
    }
    remove_node_binding(client).await?;
    put(client, &fleet_binding()).await?;
    for object in priorities() {
        put(client, &object).await?;
    }
    crate::fairness::bootstrap::ensure(client).await?;
    put(client, &service_cidr(api)).await?;
    put(client, &kubernetes_service(api)).await
}

/// Makes an object of a built-in kind where there is none; one that is there stays as it is.
///
/// # Errors
/// When it can neither be found nor made.
pub async fn put(client: &RegistryClient, object: &Value) -> Result<(), ApiError> {
    let doc = Doc::from_value(object.clone())?;
    let (group, plural) = resource(&doc)?;
    let namespace = (!doc.namespace().is_empty()).then(|| doc.namespace().into());
    let key = ObjectKey { resource: ResourceId::new(&group, &plural), namespace, name: doc.name().into() };
    if client.get(&Target::object(key.clone()), &ReadOptions::default()).await.is_ok() {
        return Ok(());
    }
    match client.write(WriteRequest::new(Target::object(key), Intent::Create(doc))).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}

fn resource(doc: &Doc) -> Result<(String, String), ApiError> {
    let (group, version) = doc.api_version().split_once('/').unwrap_or(("", doc.api_version()));
    let served = orc_core::catalogue::Catalogue::builtin().by_kind(group, version, doc.kind());
    let served = served.ok_or_else(|| ApiError::internal(format!("{} is not a built-in kind", doc.kind())))?;
    Ok((group.to_owned(), served.info.plural.clone()))
}

fn priorities() -> [Value; 2] {
    let class = |name: &str, value: i64, description: &str| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "description": description})
    };
    [
        class(
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
    ]
}

/// Takes away the binding that gave every node the whole role before there was a node authorizer; orc made it itself.
async fn remove_node_binding(client: &RegistryClient) -> Result<(), ApiError> {
    let resource = ResourceId::new("rbac.authorization.k8s.io", "clusterrolebindings");
    let target = Target::object(ObjectKey::cluster(resource, "orc:nodes"));
    match client.write(WriteRequest::new(target, Intent::Delete(DeleteOptions::default()))).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// The user that all simulated nodes of a process act as. It is in no group of nodes: it writes for thousands of them.
pub const SIMULATED_NODES: &str = "system:node:sim";

/// Simulated nodes share one watch of all pods, which the node authorizer lets no node have: their common user gets the
/// role of nodes as a whole.
fn fleet_binding() -> Value {
    let api = "rbac.authorization.k8s.io";
    json!({"apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": "orc:simulated-nodes"},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "system:node"},
        "subjects": [{"kind": "User", "name": SIMULATED_NODES, "apiGroup": api}]})
}

/// The rules of the role `system:node` as it is shipped.
pub(crate) fn node_rules() -> Vec<crate::rbac::PolicyRule> {
    let is_it = |role: &Value| role["kind"] == "ClusterRole" && role["metadata"]["name"] == "system:node";
    let rules = roles::defaults().into_iter().find(is_it).map(|mut role| role["rules"].take());
    rules.and_then(|rules| serde_json::from_value(rules).ok()).unwrap_or_default()
}

fn service_cidr(api: ApiEndpoint) -> Value {
    let (base, bits) = api.service_cidr;
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [format!("{base}/{bits}")]}})
}

fn kubernetes_service(api: ApiEndpoint) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": api.cluster_ip.to_string(), "type": "ClusterIP", "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}]},
    })
}
