//! Keeps the graph up to date from watches.

use std::sync::Arc;

use orc_core::{ApiError, Name, Parts, ResourceId};
use orc_store::{Stored, WatchEvent};
use parking_lot::RwLock;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::graph::{Bound, Graph, Place, Sort, Thing};
use super::refs;
use crate::follow::Follower;
use crate::kinds::tree::{get, text};

/// The resources that the graph is made of: group and plural name.
pub(super) const RESOURCES: [(&str, &str); 4] = [
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
];

/// The graph, and a count of its changes.
pub(super) struct Fed {
    pub(super) graph: RwLock<Graph>,
    pub(super) changes: watch::Sender<u64>,
}

impl Fed {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { graph: RwLock::default(), changes: watch::Sender::new(0) })
    }

    fn told(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Follower for Fed {
    fn reset(&self, resource: &ResourceId, items: &[Arc<Stored>]) {
        let known: std::collections::BTreeSet<Place> = items.iter().map(|item| place(item)).collect();
        let mut graph = self.graph.write();
        match resource.plural() {
            "pods" => graph.pods().into_iter().filter(|at| !known.contains(at)).for_each(|at| graph.set_pod(at, None)),
            "persistentvolumes" => {
                let gone = |name: &Name| !known.contains(&(Name::default(), name.clone()));
                graph.volumes().into_iter().filter(gone).for_each(|name| graph.set_volume(name, None));
            }
            plural => {
                let things = graph.owned(sort(plural)).into_iter();
                let gone = |(_, namespace, name): &Thing| !known.contains(&(namespace.clone(), name.clone()));
                things.filter(gone).for_each(|thing| graph.set_owner(thing, None));
            }
        }
        drop(graph);
        items.iter().for_each(|item| self.put(item));
    }

    fn change(&self, event: &WatchEvent) {
        match event {
            WatchEvent::Removed { last, .. } => self.forget(last),
            _ => event.object().into_iter().for_each(|object| self.put(object)),
        }
    }
}

fn place(stored: &Stored) -> Place {
    (Name::shared(stored.key.namespace_str()), stored.key.name.clone())
}

fn sort(plural: &str) -> Sort {
    if plural == "volumeattachments" { Sort::Attachment } else { Sort::Slice }
}

fn value(stored: &Stored) -> Value {
    serde_json::from_slice(&stored.head.lean(&stored.body)).unwrap_or_default()
}

/// What [`refs::of_pod`] reads of a pod: a tree of all of it would cost ten times as much, for every pod that gets a node.
fn pod(stored: &Stored) -> Result<Value, ApiError> {
    let text = |text: &str| serde_json::from_str::<Value>(text).map_err(ApiError::internal);
    let body = std::str::from_utf8(&stored.body).map_err(ApiError::internal)?;
    let object = Parts::parse(body)?;
    let part = |name: &str| Parts::parse(object.get(name).unwrap_or("{}"));
    let chosen = |part: &Parts<'_>, names: &[&str]| -> Result<Map<String, Value>, ApiError> {
        let there = names.iter().filter_map(|name| Some((*name, part.get(name)?)));
        there.map(|(name, value)| Ok((name.to_owned(), text(value)?))).collect()
    };
    let parts = part("spec")?;
    let mut spec = chosen(&parts, &["serviceAccountName", "imagePullSecrets", "volumes", "resourceClaims"])?;
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        let Some(list) = parts.get(name) else { continue };
        let list: Vec<&RawValue> = serde_json::from_str(list).map_err(ApiError::internal)?;
        let list = list
            .iter()
            .map(|container| chosen(&Parts::parse(container.get())?, &["env", "envFrom"]).map(Value::Object));
        spec.insert(name.to_owned(), list.collect::<Result<_, _>>()?);
    }
    let status = ["resourceClaimStatuses", "extendedResourceClaimStatus"];
    Ok(json!({
        "metadata": chosen(&part("metadata")?, &["annotations"])?, "spec": spec,
        "status": chosen(&part("status")?, &status)?,
    }))
}

impl Fed {
    fn put(&self, stored: &Stored) {
        match stored.key.resource.plural() {
            "pods" => self.put_pod(stored),
            "persistentvolumes" => {
                let volume = refs::of_volume(&value(stored));
                self.graph.write().set_volume(stored.key.name.clone(), volume);
                self.told();
            }
            plural => {
                let value = value(stored);
                let node = text(get(&value, "spec"), "nodeName");
                let node = (!node.is_empty()).then(|| Name::shared(node));
                self.graph.write().set_owner((sort(plural), Name::default(), stored.key.name.clone()), node);
                self.told();
            }
        }
    }

    /// Only what may change a pod's references costs a look at its body: the binding, and a new generation.
    fn put_pod(&self, stored: &Stored) {
        let (place, node) = (place(stored), stored.head.field("spec.nodeName"));
        let same = self.graph.read().pod(&place).map(|old| {
            let unchanged = old.uid == stored.head.uid && old.node == *node && old.generation == stored.head.generation;
            unchanged && !old.grows
        });
        match (same, node.is_empty()) {
            (Some(true), _) | (None, true) => return,
            (_, true) => self.graph.write().set_pod(place, None),
            _ => {
                let (refs, grows) = refs::of_pod(&place.0, &stored.key.name, &pod(stored).unwrap_or_default());
                let (uid, generation) = (stored.head.uid.clone(), stored.head.generation);
                let pod = Bound { node: Name::shared(node), uid, generation, refs, grows };
                self.graph.write().set_pod(place, Some(pod));
            }
        }
        self.told();
    }

    fn forget(&self, last: &Stored) {
        let mut graph = self.graph.write();
        match last.key.resource.plural() {
            "pods" => graph.set_pod(place(last), None),
            "persistentvolumes" => graph.set_volume(last.key.name.clone(), None),
            plural => graph.set_owner((sort(plural), Name::default(), last.key.name.clone()), None),
        }
        drop(graph);
        self.told();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::{Doc, ObjectKey, Revision};

    #[test]
    fn what_is_read_of_a_pod_is_all_that_its_references_are_made_of() {
        let secret = json!({"secretKeyRef": {"name": "env", "key": "k"}});
        let container = json!({"name": "c", "image": "i", "env": [{"name": "E", "valueFrom": secret}],
            "envFrom": [{"configMapRef": {"name": "all"}}], "command": ["x"]});
        let whole = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "annotations": {"x": "y"}, "managedFields": [{"manager": "m"}]},
            "spec": {"nodeName": "n", "serviceAccountName": "acc", "imagePullSecrets": [{"name": "pull"}],
                "initContainers": [container], "containers": [container, {"name": "d"}], "ephemeralContainers": [],
                "volumes": [{"name": "v", "secret": {"secretName": "vol"}}, {"name": "t", "persistentVolumeClaim": {"claimName": "c"}}],
                "resourceClaims": [{"name": "r", "resourceClaimName": "rc"}]},
            "status": {"phase": "Running", "resourceClaimStatuses": [{"name": "s", "resourceClaimName": "made"}],
                "extendedResourceClaimStatus": {"resourceClaimName": "ext"}}});
        for value in [whole.clone(), json!({"metadata": {}, "kind": "Pod"})] {
            let key = ObjectKey::namespaced(ResourceId::new("", "pods"), "d", "a");
            let body = Doc::from_value(value.clone()).unwrap().to_body();
            let stored = Stored::parse(key, Revision(1), body, &[] as &[&str]).unwrap();
            let of = |value: &Value| refs::of_pod(&Name::new("d"), "a", value);
            assert_eq!(of(&pod(&stored).unwrap()), of(&value));
        }
        assert_eq!(refs::of_pod(&Name::new("d"), "a", &whole).0.len(), 9);
    }
}
