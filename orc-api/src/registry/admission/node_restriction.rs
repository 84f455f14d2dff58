//! A node writes only what is its own (NodeRestriction).
//!
//! The node authorizer decides by names; what it leaves open, since it does not see objects, is closed here: the node's own
//! Node, Lease, CSINode and slices, the status of pods that run on it, and tokens for them.

use std::collections::BTreeSet;

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Stored;
use orc_store::client::{Freshness, Intent, Target};
use serde_json::Value;

use crate::identity::Identity;
use crate::kinds::tree::{get, list, same, text};
use crate::rbac::{Attributes, node};
use crate::registry::Registry;

const MIRROR: &str = "kubernetes.io/config.mirror";
/// Labels of these domains, and of domains below them, a kubelet sets itself.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// A request of a node.
struct Asked<'a> {
    node: &'a str,
    key: &'a ObjectKey,
}

impl Asked<'_> {
    fn refuse(&self, why: impl std::fmt::Display) -> ApiError {
        let resource = &self.key.resource;
        ApiError::forbidden(resource.group(), resource.plural(), &self.key.name, why)
    }
}

impl Registry {
    /// Checks what a node creates, deletes, evicts or wants a token for; changes are for [`check_update`].
    ///
    /// # Errors
    /// 403 for what is not the node's own, 404 for a pod that is not there.
    pub(in crate::registry) async fn restrict_node(
        &self,
        who: &Identity,
        target: &Target,
        intent: &Intent,
    ) -> Result<(), ApiError> {
        let Some(node) = node::name_of(who) else { return Ok(()) };
        let Target::Named(key, sub) = target else {
            let (resource, namespace) = (target.resource().clone(), target.namespace().cloned());
            let key = ObjectKey { resource, namespace, name: "".into() };
            let name_is_known = |doc: &Doc| Asked { node, key: &key }.create(doc);
            return match intent {
                Intent::Create(doc) => name_is_known(doc),
                // The authorizer has looked at the node that the collection selects by.
                _ => Ok(()),
            };
        };
        let asked = Asked { node, key };
        let sub = sub.as_ref().map(|sub| sub.as_str());
        match (key.resource.as_str(), sub, intent) {
            ("pods", None, Intent::Create(doc)) => {
                asked.create_pod(doc)?;
                self.check_owner(&asked, doc).await
            }
            (_, None, Intent::Create(doc)) => asked.create(doc),
            ("pods", None, Intent::Delete(_)) => {
                let pod = self.store.require(key, Freshness::Latest).await?;
                asked.runs_here(&pod, "can only delete pods with spec.nodeName set to itself", true)
            }
            ("pods", Some("eviction"), Intent::Create(_)) => {
                let pod = self.store.require(key, Freshness::Latest).await?;
                asked.runs_here(&pod, "can only evict pods with spec.nodeName set to itself", false)
            }
            ("pods", Some(sub), Intent::Create(_)) => Err(asked
                .refuse(format!("unexpected pod subresource {sub:?}, only 'status' and 'eviction' are allowed"))),
            ("serviceaccounts", Some("token"), Intent::Create(doc)) => self.restrict_token(who, &asked, doc).await,
            (_, None, Intent::Delete(_)) => asked.own_name(),
            _ => Ok(()),
        }
    }

    /// A mirror pod belongs to the node that is there now.
    async fn check_owner(&self, asked: &Asked<'_>, pod: &Doc) -> Result<(), ApiError> {
        let key = ObjectKey::cluster(ResourceId::new("", "nodes"), asked.node);
        let stored = self.store.require(&key, Freshness::Latest).await?;
        let owner = pod.at(&["metadata", "ownerReferences", ]).and_then(|list| list.get(0)).cloned().unwrap_or_default();
        let uid = text(&owner, "uid");
        if stored.head.uid == *uid {
            return Ok(());
        }
        Err(asked.refuse(format!("node {} UID mismatch: expected {uid} got {}", asked.node, stored.head.uid)))
    }

    /// A node asks for tokens of its own pods only, for audiences that the pods have.
    async fn restrict_token(&self, who: &Identity, asked: &Asked<'_>, request: &Doc) -> Result<(), ApiError> {
        let to = request.at(&["spec", "boundObjectRef"]).cloned().unwrap_or_default();
        if text(&to, "apiVersion") != "v1" || text(&to, "kind") != "Pod" || text(&to, "name").is_empty() {
            return Err(asked.refuse("node requested token not bound to a pod"));
        }
        let uid = text(&to, "uid");
        if uid.is_empty() {
            return Err(asked.refuse("node requested token with a pod binding without a uid"));
        }
        let key = ObjectKey::namespaced(ResourceId::new("", "pods"), asked.key.namespace_str(), text(&to, "name"));
        let pod = self.store.require(&key, Freshness::Latest).await?;
        if pod.head.uid != *uid {
            return Err(asked.refuse(format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted \
                 and then recreated"
            )));
        }
        if pod.head.field("spec.nodeName") != asked.node {
            return Err(asked.refuse("node requested token bound to a pod scheduled on a different node"));
        }
        self.restrict_audience(who, asked, request, &pod)
    }

    fn restrict_audience(
        &self,
        who: &Identity,
        asked: &Asked<'_>,
        request: &Doc,
        pod: &Stored,
    ) -> Result<(), ApiError> {
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
        let asks = Attributes {
            verb: "request-serviceaccounts-token-audience",
            resource: audience,
            namespace: asked.key.namespace_str(),
            name: &asked.key.name,
            ..Attributes::default()
        };
        if !audience.is_empty() && self.authorizer.permits(who, &asks) {
            return Ok(());
        }
        let why = format!("{:?} is not authorized to request tokens for this audience", who.user);
        Err(asked.refuse(format!("audience {audience:?} not found in pod spec volume, {why}")))
    }
}

impl Asked<'_> {
    fn runs_here(&self, pod: &Stored, what: &str, quoted: bool) -> Result<(), ApiError> {
        if pod.head.field("spec.nodeName") == self.node {
            return Ok(());
        }
        let node = if quoted { format!("{:?}", self.node) } else { self.node.to_owned() };
        Err(self.refuse(format!("node {node} {what}")))
    }

    /// Node, lease, CSINode and slice are the node's own.
    fn create(&self, doc: &Doc) -> Result<(), ApiError> {
        match self.key.resource.as_str() {
            "pods" => self.create_pod(doc),
            "nodes" => {
                self.own_name()?;
                if !get(get(doc.value(), "spec"), "configSource").is_null() {
                    let why = format!("node {:?} is not allowed to create pods with a non-nil configSource", self.node);
                    return Err(self.refuse(why));
                }
                let labels = forbidden(&changed_labels(doc, None));
                if labels.is_empty() {
                    return Ok(());
                }
                let why = format!("node {:?} is not allowed to set the following labels: {labels}", self.node);
                Err(self.refuse(why))
            }
            "resourceslices.resource.k8s.io" => self.own_slice(doc, "create"),
            _ => self.own_name(),
        }
    }

    fn own_slice(&self, slice: &Doc, verb: &str) -> Result<(), ApiError> {
        if slice.str_at(&["spec", "nodeName"]) == Some(self.node) {
            return Ok(());
        }
        Err(self.refuse(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node")))
    }

    fn own_name(&self) -> Result<(), ApiError> {
        let is_it = *self.key.name == *self.node;
        let why = match self.key.resource.as_str() {
            "nodes" => format!("node {:?} is not allowed to modify node {:?}", self.node, self.key.name.as_str()),
            "leases.coordination.k8s.io" if self.key.namespace_str() != "kube-node-lease" => {
                return Err(self.refuse("can only access leases in the \"kube-node-lease\" system namespace"));
            }
            "leases.coordination.k8s.io" => {
                "can only access node lease with the same name as the requesting node".to_owned()
            }
            "csinodes.storage.k8s.io" => "can only access CSINode with the same name as the requesting node".to_owned(),
            _ => return Ok(()),
        };
        if is_it { Ok(()) } else { Err(self.refuse(why)) }
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

/// Checks what a node changes.
///
/// # Errors
/// 403 for what is not the node's own, or not its to change.
pub(super) fn check_update(
    who: &Identity,
    key: &ObjectKey,
    sub: Option<&str>,
    new: &Doc,
    old: &Doc,
) -> Result<(), ApiError> {
    let Some(node) = node::name_of(who) else { return Ok(()) };
    let asked = Asked { node, key };
    match (key.resource.as_str(), sub) {
        ("pods", Some("status")) => pod_status(&asked, new, old),
        ("pods", Some(sub)) => {
            let why = format!("unexpected pod subresource {sub:?}, only 'status' and 'eviction' are allowed");
            Err(asked.refuse(why))
        }
        ("pods", None) => {
            let why = format!("unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods");
            Err(asked.refuse(why))
        }
        ("persistentvolumeclaims", Some("status")) => claim_status(&asked, new, old),
        ("persistentvolumeclaims", _) => Err(asked.refuse("may only update PVC status")),
        ("nodes", _) => node_object(&asked, new, old),
        ("resourceslices.resource.k8s.io", _) => {
            asked.own_slice(old, "update").and_then(|()| asked.own_slice(new, "update"))
        }
        _ => asked.own_name(),
    }
}

fn pod_status(asked: &Asked<'_>, new: &Doc, old: &Doc) -> Result<(), ApiError> {
    let node = asked.node;
    if old.str_at(&["spec", "nodeName"]) != Some(node) {
        let why = format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
        return Err(asked.refuse(why));
    }
    if !changed_labels(new, Some(old)).is_empty() {
        return Err(asked.refuse(format!("node {node:?} cannot update labels through pod status")));
    }
    for field in ["resourceClaimStatuses", "extendedResourceClaimStatus"] {
        let of = |doc: &Doc| get(get(doc.value(), "status"), field).clone();
        if !same(&of(new), &of(old)) {
            let what = if field == "resourceClaimStatuses" { "resource claim statues" } else { "extended resource claim status" };
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
    asked.own_name()?;
    let node = asked.node;
    let of = |doc: &Doc, part: &str, field: &str| get(get(doc.value(), part), field).clone();
    let source = of(new, "spec", "configSource");
    if !source.is_null() && !same(&source, &of(old, "spec", "configSource")) {
        let why = format!("node {node:?} is not allowed to update configSource to a new non-nil configSource");
        return Err(asked.refuse(why));
    }
    for (part, field) in [("spec", "taints"), ("metadata", "ownerReferences")] {
        if !same(&of(new, part, field), &of(old, part, field)) {
            return Err(asked.refuse(format!("node {node:?} is not allowed to modify {field}")));
        }
    }
    let labels = forbidden(&changed_labels(new, Some(old)));
    if labels.is_empty() { Ok(()) } else { Err(asked.refuse(format!("is not allowed to modify labels: {labels}"))) }
}

/// The labels that differ.
fn changed_labels(new: &Doc, old: Option<&Doc>) -> BTreeSet<String> {
    let of = |doc: Option<&Doc>| {
        let labels = doc.and_then(|doc| doc.at(&["metadata", "labels"])).and_then(Value::as_object);
        labels.cloned().unwrap_or_default()
    };
    let (new, old) = (of(Some(new)), of(old));
    new.keys().chain(old.keys()).filter(|key| new.get(*key) != old.get(*key)).cloned().collect()
}

/// The labels among these that a node may not touch, as a text.
fn forbidden(labels: &BTreeSet<String>) -> String {
    let within = |domain: &str, parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
    };
    let refused = |label: &&String| {
        let domain = label.split_once('/').map_or("", |(domain, _)| domain);
        let kubernetes = within(domain, "kubernetes.io") || within(domain, "k8s.io");
        let own = OWN_LABELS.contains(&label.as_str()) || OWN_DOMAINS.iter().any(|parent| within(domain, parent));
        within(domain, "node-restriction.kubernetes.io") || kubernetes && !own
    };
    labels.iter().filter(refused).cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn doc(value: Value) -> Doc {
        Doc::from_value(value).unwrap()
    }

    #[test]
    fn a_node_keeps_to_its_own_labels() {
        let labels = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(forbidden(&labels(&["disk", "acme.com/x", "kubernetes.io/hostname", "node.kubernetes.io/x"])), "");
        assert_eq!(
            forbidden(&labels(&["node-restriction.kubernetes.io/x", "node-role.kubernetes.io/admin", "a.k8s.io/b"])),
            "a.k8s.io/b, node-restriction.kubernetes.io/x, node-role.kubernetes.io/admin"
        );
    }

    #[test]
    fn a_node_changes_only_the_status_of_its_own_pods() {
        let who = Identity::user("system:node:n1", &[node::NODES]);
        let key = ObjectKey::namespaced(ResourceId::new("", "pods"), "d", "p");
        let on = |node: &str, label: &str| doc(json!({"metadata": {"labels": {"a": label}}, "spec": {"nodeName": node}}));
        let check = |sub, new: &Doc, old: &Doc| check_update(&who, &key, sub, new, old).map_err(|e| e.message().to_owned());
        assert_eq!(check(Some("status"), &on("n1", "x"), &on("n1", "x")), Ok(()));
        assert_eq!(
            check(Some("status"), &on("n2", "x"), &on("n2", "x")).unwrap_err(),
            "pods \"p\" is forbidden: node \"n1\" can only update pod status for pods with spec.nodeName set to itself"
        );
        assert!(check(Some("status"), &on("n1", "y"), &on("n1", "x")).unwrap_err().ends_with("labels through pod status"));
        assert!(check(None, &on("n1", "x"), &on("n1", "x")).is_err());
        assert!(check_update(&Identity::admin(), &key, None, &on("n2", "x"), &on("n1", "x")).is_ok());
    }

    #[test]
    fn a_node_touches_neither_its_taints_nor_its_owners() {
        let who = Identity::user("system:node:n1", &[node::NODES]);
        let key = |name: &str| ObjectKey::cluster(ResourceId::new("", "nodes"), name);
        let plain = doc(json!({"metadata": {}}));
        let check = |name: &str, new: Value| check_update(&who, &key(name), None, &doc(new), &plain);
        assert!(check("n1", json!({"metadata": {"labels": {"a": "b"}}})).is_ok());
        assert!(check("n2", json!({"metadata": {}})).is_err());
        assert!(check("n1", json!({"metadata": {}, "spec": {"taints": [{"key": "a"}]}})).is_err());
        assert!(check("n1", json!({"metadata": {"ownerReferences": [{"name": "a"}]}})).is_err());
    }
}
