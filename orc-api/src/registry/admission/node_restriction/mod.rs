//! A node writes only what is its own (NodeRestriction).
//!
//! The node authorizer decides by names; what it leaves open, since it does not see objects, is closed here: the node's own
//! Node, Lease, CSINode and slices, the status of pods that run on it, and tokens for them.

mod labels;

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Stored;
use orc_store::client::Freshness;
use serde_json::Value;

use crate::admission::{Attributes, Operation};
use crate::kinds::tree::{get, list, same, text};
use crate::rbac::{self, node};
use crate::registry::Registry;
use labels::{changed_labels, forbidden};

const LEASES: &str = "kube-node-lease";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// A request of a node.
struct Asked<'a> {
    node: &'a str,
    ask: &'a Attributes<'a>,
}

impl Asked<'_> {
    fn refuse(&self, why: impl std::fmt::Display) -> ApiError {
        self.ask.forbid(why)
    }

    fn is_create(&self) -> bool {
        self.ask.operation == Operation::Create
    }
}

impl Registry {
    /// Checks what a node writes. Others pass.
    ///
    /// # Errors
    /// 403 for what is not the node's own, 404 for a pod that is not there.
    pub(super) async fn restrict_node(&self, ask: &Attributes<'_>) -> Result<(), ApiError> {
        let Some(node) = node::name_of(ask.who) else { return Ok(()) };
        let asked = Asked { node, ask };
        let empty = Doc::default();
        let (new, old) = (ask.object.as_ref().unwrap_or(&empty), ask.old.unwrap_or(&empty));
        match (ask.resource(), ask.subresource, ask.operation) {
            ("pods", "", Operation::Create) => {
                asked.create_pod(new)?;
                self.check_owner(&asked, new).await
            }
            ("pods", "", Operation::Delete) => {
                asked.runs_here(old, format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            ("pods", "", operation) => {
                let operation = operation.as_str();
                Err(asked.refuse(format!(
                    "unexpected operation {operation:?}, node {node:?} can only create and delete mirror pods"
                )))
            }
            ("pods", "status", _) => pod_status(&asked, new, old),
            ("pods", "eviction", _) => {
                let pod = self.store.require(ask.key, Freshness::Latest).await?.to_doc()?;
                asked.runs_here(&pod, format!("node {node} can only evict pods with spec.nodeName set to itself"))
            }
            ("pods", sub, _) => {
                Err(asked
                    .refuse(format!("unexpected pod subresource {sub:?}, only 'status' and 'eviction' are allowed")))
            }
            ("nodes", ..) => node_object(&asked, new, old),
            ("persistentvolumeclaims", "status", _) => claim_status(&asked, new, old),
            ("persistentvolumeclaims", ..) => Err(asked.refuse("may only update PVC status")),
            ("serviceaccounts", "token", _) => self.restrict_token(&asked, new).await,
            ("resourceslices.resource.k8s.io", ..) => slice(&asked, new, old),
            ("leases.coordination.k8s.io", ..) if ask.key.namespace_str() != LEASES => {
                Err(asked.refuse(format!("can only access leases in the {LEASES:?} system namespace")))
            }
            ("leases.coordination.k8s.io", ..) => {
                asked.own_name("can only access node lease with the same name as the requesting node")
            }
            ("csinodes.storage.k8s.io", ..) => {
                asked.own_name("can only access CSINode with the same name as the requesting node")
            }
            _ => Ok(()),
        }
    }

    /// A mirror pod belongs to the node that is there now.
    async fn check_owner(&self, asked: &Asked<'_>, pod: &Doc) -> Result<(), ApiError> {
        let key = ObjectKey::cluster(ResourceId::new("", "nodes"), asked.node);
        let stored = self.store.require(&key, Freshness::Latest).await?;
        let owner = pod.at(&["metadata", "ownerReferences"]).and_then(|list| list.get(0)).cloned().unwrap_or_default();
        let uid = text(&owner, "uid");
        if stored.head.uid == *uid {
            return Ok(());
        }
        Err(asked.refuse(format!("node {} UID mismatch: expected {uid} got {}", asked.node, stored.head.uid)))
    }

    /// A node asks for tokens of its own pods only, for audiences that the pods have.
    async fn restrict_token(&self, asked: &Asked<'_>, request: &Doc) -> Result<(), ApiError> {
        let to = request.at(&["spec", "boundObjectRef"]).cloned().unwrap_or_default();
        if text(&to, "apiVersion") != "v1" || text(&to, "kind") != "Pod" || text(&to, "name").is_empty() {
            return Err(asked.refuse("node requested token not bound to a pod"));
        }
        let uid = text(&to, "uid");
        if uid.is_empty() {
            return Err(asked.refuse("node requested token with a pod binding without a uid"));
        }
        let key = ObjectKey::namespaced(ResourceId::new("", "pods"), asked.ask.key.namespace_str(), text(&to, "name"));
        let pod = self.store.require(&key, Freshness::Latest).await?;
        if pod.head.uid != *uid {
            return Err(asked.refuse(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
                 deleted and then recreated"
            )));
        }
        if pod.head.field("spec.nodeName") != asked.node {
            return Err(asked.refuse("node requested token bound to a pod scheduled on a different node"));
        }
        self.restrict_audience(asked, request, &pod)
    }

    fn restrict_audience(&self, asked: &Asked<'_>, request: &Doc, pod: &Stored) -> Result<(), ApiError> {
        let audiences = request.at(&["spec", "audiences"]).and_then(Value::as_array).cloned().unwrap_or_default();
        if audiences.len() > 1 {
            return Err(asked.refuse("node may only request 0 or 1 audiences"));
        }
        let audience = audiences.first().and_then(Value::as_str).unwrap_or_default();
        let pod = pod.to_doc()?;
        let volumes = list(get(pod.value(), "spec"), "volumes").iter();
        let sources = volumes.flat_map(|volume| list(get(volume, "projected"), "sources"));
        let mut tokens = sources.map(|source| get(source, "serviceAccountToken")).filter(|token| !token.is_null());
        if tokens.any(|token| text(token, "audience") == audience) {
            return Ok(());
        }
        let asks = rbac::Attributes {
            verb: "request-serviceaccounts-token-audience",
            resource: audience,
            namespace: asked.ask.key.namespace_str(),
            name: &asked.ask.key.name,
            ..rbac::Attributes::default()
        };
        let who = asked.ask.who;
        if !audience.is_empty() && self.authorizer.permits(who, &asks) {
            return Ok(());
        }
        let why = format!("{:?} is not authorized to request tokens for this audience", who.user);
        Err(asked.refuse(format!("audience {audience:?} not found in pod spec volume, {why}")))
    }
}

impl Asked<'_> {
    fn runs_here(&self, pod: &Doc, why: String) -> Result<(), ApiError> {
        if pod.str_at(&["spec", "nodeName"]) == Some(self.node) { Ok(()) } else { Err(self.refuse(why)) }
    }

    fn own_name(&self, why: impl std::fmt::Display) -> Result<(), ApiError> {
        if self.ask.name() == self.node { Ok(()) } else { Err(self.refuse(why)) }
    }

    /// Nodes create only mirrors of their static pods, which refer to nothing.
    fn create_pod(&self, pod: &Doc) -> Result<(), ApiError> {
        let (node, value) = (self.node, pod.value());
        let (metadata, spec) = (get(value, "metadata"), get(value, "spec"));
        if get(get(metadata, "annotations"), MIRROR).is_null() {
            let why = format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods");
            return Err(self.refuse(why));
        }
        if text(spec, "nodeName") != node {
            return Err(self.refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself")));
        }
        let refuse = |what: &str| Err(self.refuse(format!("node {node:?} {what}")));
        let owner = match list(metadata, "ownerReferences") {
            [owner] => owner,
            [] => return refuse("can only create pods with an owner reference set to itself"),
            _ => return refuse("can only create pods with a single owner reference set to itself"),
        };
        if text(owner, "apiVersion") != "v1" || text(owner, "kind") != "Node" || text(owner, "name") != node {
            return refuse("can only create pods with an owner reference set to itself");
        }
        if get(owner, "controller") != true {
            return refuse("can only create pods with a controller owner reference set to itself");
        }
        if get(owner, "blockOwnerDeletion") == true {
            return refuse("must not set blockOwnerDeletion on an owner reference");
        }
        if !text(spec, "serviceAccountName").is_empty() {
            return refuse("can not create pods that reference a service account");
        }
        match node::reference(value) {
            Some(what) => refuse(&format!("can not create pods that reference {what}")),
            None => Ok(()),
        }
    }
}

/// Slices of devices name their node, before and after.
fn slice(asked: &Asked<'_>, new: &Doc, old: &Doc) -> Result<(), ApiError> {
    let foreign = |slice: &Doc| slice.str_at(&["spec", "nodeName"]) != Some(asked.node);
    let (verb, wrong) = match asked.ask.operation {
        Operation::Create => ("create", foreign(new)),
        Operation::Delete => ("delete", foreign(old)),
        _ => ("update", foreign(new) || foreign(old)),
    };
    if !wrong {
        return Ok(());
    }
    Err(asked.refuse(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")))
}

fn pod_status(asked: &Asked<'_>, new: &Doc, old: &Doc) -> Result<(), ApiError> {
    let node = asked.node;
    if old.str_at(&["spec", "nodeName"]) != Some(node) {
        let why = format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
        return Err(asked.refuse(why));
    }
    if !changed_labels(new, old).is_empty() {
        return Err(asked.refuse(format!("node {node:?} cannot update labels through pod status")));
    }
    for field in ["resourceClaimStatuses", "extendedResourceClaimStatus"] {
        let of = |doc: &Doc| get(get(doc.value(), "status"), field).clone();
        if !same(&of(new), &of(old)) {
            let what = if field == "resourceClaimStatuses" {
                "resource claim statues"
            } else {
                "extended resource claim status"
            };
            return Err(asked.refuse(format!("node {node:?} cannot update {what}")));
        }
    }
    Ok(())
}

fn claim_status(asked: &Asked<'_>, new: &Doc, old: &Doc) -> Result<(), ApiError> {
    let rest = |doc: &Doc| {
        let mut doc = doc.clone();
        for field in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
            doc.remove(&["status", field]);
        }
        for field in ["resourceVersion", "managedFields"] {
            doc.metadata_mut().remove(field);
        }
        doc
    };
    if same(rest(new).value(), rest(old).value()) {
        return Ok(());
    }
    let node = asked.node;
    let why = format!("node {node:?} is not allowed to update fields other than status.capacity and status.conditions");
    Err(asked.refuse(why))
}

fn node_object(asked: &Asked<'_>, new: &Doc, old: &Doc) -> Result<(), ApiError> {
    let node = asked.node;
    asked.own_name(format!("node {node:?} is not allowed to modify node {:?}", asked.ask.name()))?;
    let of = |doc: &Doc, part: &str, field: &str| get(get(doc.value(), part), field).clone();
    let source = of(new, "spec", "configSource");
    if !source.is_null() && asked.is_create() {
        return Err(asked.refuse(format!("node {node:?} is not allowed to create pods with a non-nil configSource")));
    }
    if asked.ask.operation == Operation::Delete {
        return Ok(());
    }
    if !source.is_null() && !same(&source, &of(old, "spec", "configSource")) {
        let why = format!("node {node:?} is not allowed to update configSource to a new non-nil configSource");
        return Err(asked.refuse(why));
    }
    let labels = forbidden(&changed_labels(new, old));
    if asked.is_create() {
        let why = format!("node {node:?} is not allowed to set the following labels: {labels}");
        return if labels.is_empty() { Ok(()) } else { Err(asked.refuse(why)) };
    }
    for (part, field) in [("spec", "taints"), ("metadata", "ownerReferences")] {
        if !same(&of(new, part, field), &of(old, part, field)) {
            return Err(asked.refuse(format!("node {node:?} is not allowed to modify {field}")));
        }
    }
    if labels.is_empty() { Ok(()) } else { Err(asked.refuse(format!("is not allowed to modify labels: {labels}"))) }
}
