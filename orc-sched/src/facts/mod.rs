//! What scheduling reads beside nodes and pods: namespaces, services, budgets, volumes, devices.
//!
//! Few objects, read rarely: those that match labels are compiled, the others are kept as they are.

pub(crate) mod devices;
mod read;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSINode, CSIStorageCapacity, StorageClass};
use orc_core::labels::Selector;
use orc_core::{Name, ObjectKey, ResourceId};

use self::devices::Devices;
pub use read::{KINDS, Read, gone, of};

/// The sorts of facts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FactKind {
    /// `Namespace`.
    Namespace,
    /// `Service`.
    Service,
    /// `ReplicationController`.
    ReplicationController,
    /// `ReplicaSet`.
    ReplicaSet,
    /// `StatefulSet`.
    StatefulSet,
    /// `PodDisruptionBudget`.
    Budget,
    /// `PersistentVolumeClaim`.
    Claim,
    /// `PersistentVolume`.
    Volume,
    /// `StorageClass`.
    StorageClass,
    /// `CSINode`.
    CsiNode,
    /// `CSIStorageCapacity`.
    Capacity,
    /// `ResourceClaim`.
    DeviceClaim,
    /// `ResourceSlice`.
    Slice,
    /// `DeviceClass`.
    DeviceClass,
}

/// One object.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// A namespace's labels.
    Namespace(BTreeMap<String, String>),
    /// The pods that a service, replication controller, replica set or stateful set means.
    Selecting(Selector),
    /// A disruption budget.
    Budget(Budget),
    /// A claim of storage.
    Claim(Box<PersistentVolumeClaim>),
    /// Storage.
    Volume(Box<PersistentVolume>),
    /// How storage is made.
    StorageClass(Box<StorageClass>),
    /// The storage drivers of a node.
    CsiNode(Box<CSINode>),
    /// How much storage can be made where.
    Capacity(Box<CSIStorageCapacity>),
    /// A claim of devices.
    DeviceClaim(Box<ResourceClaim>),
    /// Devices of a pool.
    Slice(Box<ResourceSlice>),
    /// A class of devices.
    DeviceClass(Box<DeviceClass>),
}

/// How many pods may be taken away at the moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Budget {
    /// The pods that it protects.
    pub selector: Selector,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// Pods that have been taken already and count no further.
    pub disrupted: Vec<Name>,
}

/// What identifies a fact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FactKey {
    /// Its sort.
    pub kind: FactKind,
    /// The namespace, `""` for cluster-scoped kinds.
    pub namespace: Name,
    /// The name.
    pub name: Name,
}

impl FactKey {
    /// The key of a fact.
    pub fn new(kind: FactKind, namespace: impl Into<Name>, name: impl Into<Name>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The object's key in the API, of a resource that [`of`] reads.
    pub fn object(&self, resource: ResourceId) -> ObjectKey {
        let namespace = (!self.namespace.is_empty()).then(|| self.namespace.clone());
        ObjectKey { resource, namespace, name: self.name.clone() }
    }
}

/// All facts, by kind, namespace and name.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    all: BTreeMap<FactKey, Arc<Fact>>,
    devices: Devices,
}

impl PartialEq for Facts {
    /// What is kept beside the facts follows from them.
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Facts {
    /// A fact.
    pub fn get(&self, key: &FactKey) -> Option<&Arc<Fact>> {
        self.all.get(key)
    }

    /// The facts of a sort in a namespace (`""` for cluster-scoped kinds), by name.
    pub fn within<'a>(
        &'a self,
        kind: FactKind,
        namespace: &Name,
    ) -> impl Iterator<Item = (&'a Name, &'a Fact)> + use<'a> {
        let first = FactKey { kind, namespace: namespace.clone(), name: Name::new("") };
        let namespace = namespace.clone();
        let found = self.all.range((Bound::Included(first), Bound::Unbounded));
        found
            .take_while(move |(key, _)| key.kind == kind && key.namespace == namespace)
            .map(|(key, fact)| (&key.name, &**fact))
    }

    /// All facts of a sort.
    pub fn all(&self, kind: FactKind) -> impl Iterator<Item = (&FactKey, &Fact)> {
        self.shared(kind).map(|(key, fact)| (key, &**fact))
    }

    /// All facts of a sort, to be kept.
    pub fn shared(&self, kind: FactKind) -> impl Iterator<Item = (&FactKey, &Arc<Fact>)> {
        let first = FactKey::new(kind, "", "");
        let found = self.all.range((Bound::Included(first), Bound::Unbounded));
        found.take_while(move |(key, _)| key.kind == kind)
    }

    /// The labels of a namespace.
    pub fn namespace(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        match self.all.get(&FactKey::new(FactKind::Namespace, "", name))?.as_ref() {
            Fact::Namespace(labels) => Some(labels),
            _ => None,
        }
    }

    /// The pods that an object means.
    pub fn selector(&self, kind: FactKind, namespace: &Name, name: &Name) -> Option<&Selector> {
        let key = FactKey { kind, namespace: namespace.clone(), name: name.clone() };
        match self.all.get(&key)?.as_ref() {
            Fact::Selecting(selector) => Some(selector),
            _ => None,
        }
    }

    /// A claim of storage.
    pub fn claim(&self, namespace: &Name, name: &Name) -> Option<&PersistentVolumeClaim> {
        let key = FactKey { kind: FactKind::Claim, namespace: namespace.clone(), name: name.clone() };
        match self.all.get(&key)?.as_ref() {
            Fact::Claim(claim) => Some(claim.as_ref()),
            _ => None,
        }
    }

    /// Storage.
    pub fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        match self.all.get(&FactKey::new(FactKind::Volume, "", name))?.as_ref() {
            Fact::Volume(volume) => Some(volume.as_ref()),
            _ => None,
        }
    }

    /// How storage of a class is made.
    pub fn storage_class(&self, name: &str) -> Option<&StorageClass> {
        match self.all.get(&FactKey::new(FactKind::StorageClass, "", name))?.as_ref() {
            Fact::StorageClass(class) => Some(class.as_ref()),
            _ => None,
        }
    }

    /// The storage drivers of a node.
    pub fn csi_node(&self, name: &str) -> Option<&CSINode> {
        match self.all.get(&FactKey::new(FactKind::CsiNode, "", name))?.as_ref() {
            Fact::CsiNode(node) => Some(node.as_ref()),
            _ => None,
        }
    }

    /// The devices that there are, and who has them.
    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Sets or removes a fact; returns the one before.
    pub(crate) fn swap(&mut self, key: &FactKey, fact: Option<Arc<Fact>>) -> Option<Arc<Fact>> {
        let before = match fact.clone() {
            Some(fact) => self.all.insert(key.clone(), fact),
            None => self.all.remove(key),
        };
        if matches!(key.kind, FactKind::Slice | FactKind::DeviceClaim) {
            self.devices.follow(key, before.as_deref(), fact.as_ref());
        }
        before
    }
}
