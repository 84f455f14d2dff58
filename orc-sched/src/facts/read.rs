//! Facts from objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSINode, CSIStorageCapacity, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use orc_core::labels::Selector;
use orc_core::{Name, ObjectKey};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Budget, Fact, FactKey, FactKind};

/// The resources that facts are read of (`plural` or `plural.group`), with their sort.
pub const KINDS: [(&str, FactKind); 14] = [
    ("namespaces", FactKind::Namespace),
    ("services", FactKind::Service),
    ("replicationcontrollers", FactKind::ReplicationController),
    ("replicasets.apps", FactKind::ReplicaSet),
    ("statefulsets.apps", FactKind::StatefulSet),
    ("poddisruptionbudgets.policy", FactKind::Budget),
    ("persistentvolumeclaims", FactKind::Claim),
    ("persistentvolumes", FactKind::Volume),
    ("storageclasses.storage.k8s.io", FactKind::StorageClass),
    ("csinodes.storage.k8s.io", FactKind::CsiNode),
    ("csistoragecapacities.storage.k8s.io", FactKind::Capacity),
    ("resourceclaims.resource.k8s.io", FactKind::DeviceClaim),
    ("resourceslices.resource.k8s.io", FactKind::Slice),
    ("deviceclasses.resource.k8s.io", FactKind::DeviceClass),
];

/// The key of the fact that an object makes; `None` when scheduling does not read its resource.
pub fn gone(object: &ObjectKey) -> Option<FactKey> {
    let (_, kind) = KINDS.iter().find(|(resource, _)| *resource == object.resource.as_str())?;
    let namespace = object.namespace.clone().unwrap_or_else(|| Name::new(""));
    Some(FactKey { kind: *kind, namespace, name: object.name.clone() })
}

/// A kind that scheduling reads beside nodes and pods.
pub trait Read: DeserializeOwned {
    /// The fact of an object.
    fn fact(&self) -> Fact;
}

macro_rules! read {
    ($($kind:ty: $object:ident => $fact:expr;)*) => {
        $(impl Read for $kind {
            fn fact(&self) -> Fact {
                let $object = self;
                $fact
            }
        })*
    };
}

read! {
    Namespace: it => Fact::Namespace(it.metadata.labels.clone().unwrap_or_default());
    Service: it => labelled(it.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
    ReplicationController: it => labelled(it.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
    ReplicaSet: it => selecting(it.spec.as_ref().map(|spec| &spec.selector));
    StatefulSet: it => selecting(it.spec.as_ref().map(|spec| &spec.selector));
    PodDisruptionBudget: it => budget(it);
    PersistentVolumeClaim: it => Fact::Claim(Box::new(it.clone()));
    PersistentVolume: it => Fact::Volume(Box::new(it.clone()));
    StorageClass: it => Fact::StorageClass(Box::new(it.clone()));
    CSINode: it => Fact::CsiNode(Box::new(it.clone()));
    CSIStorageCapacity: it => Fact::Capacity(Box::new(it.clone()));
    ResourceClaim: it => Fact::DeviceClaim(Box::new(it.clone()));
    ResourceSlice: it => Fact::Slice(Box::new(it.clone()));
    DeviceClass: it => Fact::DeviceClass(Box::new(it.clone()));
}

/// The fact that an object in its JSON form makes; `None` when scheduling does not read its resource.
///
/// # Errors
/// The object does not have the shape of its kind.
pub fn of(key: &ObjectKey, object: &Value) -> Result<Option<(FactKey, Arc<Fact>)>, serde_json::Error> {
    let Some(fact) = gone(key) else { return Ok(None) };
    let read = match fact.kind {
        FactKind::Namespace => typed::<Namespace>(object),
        FactKind::Service => typed::<Service>(object),
        FactKind::ReplicationController => typed::<ReplicationController>(object),
        FactKind::ReplicaSet => typed::<ReplicaSet>(object),
        FactKind::StatefulSet => typed::<StatefulSet>(object),
        FactKind::Budget => typed::<PodDisruptionBudget>(object),
        FactKind::Claim => typed::<PersistentVolumeClaim>(object),
        FactKind::Volume => typed::<PersistentVolume>(object),
        FactKind::StorageClass => typed::<StorageClass>(object),
        FactKind::CsiNode => typed::<CSINode>(object),
        FactKind::Capacity => typed::<CSIStorageCapacity>(object),
        FactKind::DeviceClaim => typed::<ResourceClaim>(object),
        FactKind::Slice => typed::<ResourceSlice>(object),
        FactKind::DeviceClass => typed::<DeviceClass>(object),
    };
    Ok(Some((fact, Arc::new(read?))))
}

fn typed<K: Read>(object: &Value) -> Result<Fact, serde_json::Error> {
    K::deserialize(object).map(|object| object.fact())
}

/// Plain labels; none mean no pods.
fn labelled(labels: Option<&BTreeMap<String, String>>) -> Fact {
    let labels = labels.filter(|labels| !labels.is_empty());
    Fact::Selecting(labels.and_then(|labels| Selector::from_map(labels).ok()).unwrap_or_else(Selector::nothing))
}

/// A selector that does not parse means no pods.
fn selecting(selector: Option<&LabelSelector>) -> Fact {
    Fact::Selecting(Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing()))
}

fn budget(budget: &PodDisruptionBudget) -> Fact {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let status = budget.status.as_ref();
    let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
    Fact::Budget(Budget {
        selector: Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing()),
        allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or_default(),
        disrupted: disrupted.into_iter().flatten().map(|(name, _)| Name::new(name)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::ResourceId;
    use serde_json::json;

    #[test]
    fn facts_are_read_by_resource() {
        let key = ObjectKey::namespaced(ResourceId::parse("services"), "d", "web");
        let (fact, read) = of(&key, &json!({"spec": {"selector": {"app": "web"}}})).unwrap().unwrap();
        assert_eq!(fact, FactKey::new(FactKind::Service, "d", "web"));
        assert_eq!(*read, Fact::Selecting(Selector::parse("app=web").unwrap()));
        let (_, headless) = of(&key, &json!({"spec": {}})).unwrap().unwrap();
        assert_eq!(*headless, Fact::Selecting(Selector::nothing()));
        let other = ObjectKey::namespaced(ResourceId::parse("configmaps"), "d", "web");
        assert_eq!(of(&other, &json!({})).unwrap(), None);
        assert!(of(&key, &json!({"spec": 1})).is_err());
    }
}
