//! What scheduling reads of a pod, compiled once.

mod affinity;
pub(crate) mod images;
mod ports;
mod requests;
mod spread;
mod terms;
mod toleration;
mod volumes;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use orc_core::{Name, ObjectKey};

pub use affinity::NodeRule;
pub use orc_core::node_selector::{NodeTerm, NodeTerms};
pub use ports::HostPort;
pub(crate) use requests::is_other;
pub use requests::{Requests, amount};
pub use spread::SpreadConstraint;
pub use terms::{PodAffinity, PodTerm};
pub use toleration::{Effect, Taint, Toleration};
pub use volumes::{ClaimRef, DeviceRef, Disk};

/// The scheduler of pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The label of pods that start together or not at all; its value is the name of their group.
pub const GROUP_LABEL: &str = "scheduling.x-k8s.io/pod-group";
/// The annotation with how many pods of a group must be able to start; without it, or when it is not a number, a pod with the
/// label is a group of its own.
pub const GROUP_SIZE: &str = "scheduling.x-k8s.io/pod-group-min-member";

/// A group of pods that starts whole or not at all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Gang {
    /// The group's name, within the namespace.
    pub name: Name,
    /// How many of its pods must be able to start.
    pub least: usize,
}

/// What scheduling reads of a pod. Immutable and shared by `Arc`; the pod itself is not kept.
#[derive(Clone, PartialEq, Debug)]
pub struct PodInfo {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid: a pod that was made anew under the same name is another pod.
    pub uid: Name,
    /// `metadata.generation`, for conditions.
    pub generation: Option<i64>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// `spec.nodeName`, `None` while nobody has decided.
    pub node: Option<Name>,
    /// `spec.schedulerName`.
    pub scheduler: Name,
    /// `spec.priority`.
    pub priority: i32,
    /// Whether pods of lower priority may have to leave for it (`spec.preemptionPolicy` is not `Never`).
    pub preempts: bool,
    /// `status.nominatedNodeName`.
    pub nominated: Option<Name>,
    /// `status.startTime`.
    pub started: Option<Timestamp>,
    /// Whether it leaves to make room (condition `DisruptionTarget` with reason `PreemptionByScheduler`).
    pub preempted: bool,
    /// Kind and name of the controller that owns it.
    pub owner: Option<(Name, Name)>,
    /// The group that it starts with.
    pub gang: Option<Gang>,
    /// The names of `spec.schedulingGates`.
    pub gates: Vec<Name>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What it asks of a node.
    pub requests: Requests,
    /// Host ports that it takes.
    pub ports: Vec<HostPort>,
    /// Node selector and node affinity.
    pub rule: NodeRule,
    /// Affinity to other pods.
    pub affinity: PodAffinity,
    /// `spec.topologySpreadConstraints`.
    pub spread: Vec<SpreadConstraint>,
    /// Persistent volume claims; sorted.
    pub claims: Vec<ClaimRef>,
    /// Disks named in the pod itself.
    pub disks: Vec<Disk>,
    /// Device claims.
    pub devices: Vec<DeviceRef>,
    /// The images of its containers, written in full.
    pub images: Vec<Name>,
    /// `spec.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it has ended (`Succeeded` or `Failed`) and takes nothing any more.
    pub ended: bool,
    /// Message of a `PodScheduled=False` condition, with its reason.
    pub waiting: Option<(Name, Name)>,
}

impl PodInfo {
    /// Reads a pod.
    pub fn of(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let text = |text: Option<&String>| text.filter(|text| !text.is_empty()).map(Name::new);
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let affinity = spec.and_then(|spec| spec.affinity.as_ref());
        let status = pod.status.as_ref();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        Self {
            key: ObjectKey::of(pod),
            uid: Name::new(pod.metadata.uid.as_deref().unwrap_or_default()),
            generation: pod.metadata.generation,
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            node: text(spec.and_then(|spec| spec.node_name.as_ref())),
            scheduler: text(spec.and_then(|spec| spec.scheduler_name.as_ref()))
                .unwrap_or_else(|| DEFAULT_SCHEDULER.into()),
            priority: spec.and_then(|spec| spec.priority).unwrap_or_default(),
            preempts: spec.and_then(|spec| spec.preemption_policy.as_deref()) != Some("Never"),
            nominated: text(status.and_then(|status| status.nominated_node_name.as_ref())),
            started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0),
            preempted: preempted(pod),
            owner: owner(pod),
            gang: gang(pod),
            gates: spec
                .and_then(|s| s.scheduling_gates.as_ref())
                .into_iter()
                .flatten()
                .map(|g| Name::new(&g.name))
                .collect(),
            requests: Requests::of(pod),
            ports: spec.map(ports::of).unwrap_or_default(),
            rule: spec.map(NodeRule::of).unwrap_or_default(),
            affinity: PodAffinity::of(affinity, namespace, &labels),
            spread: spec
                .and_then(|spec| spec.topology_spread_constraints.as_ref())
                .into_iter()
                .flatten()
                .map(|constraint| SpreadConstraint::of(constraint, &labels))
                .collect(),
            claims: spec.map(|spec| volumes::claims(pod, spec)).unwrap_or_default(),
            disks: spec.map(volumes::disks).unwrap_or_default(),
            devices: spec.map(|spec| volumes::devices(pod, spec)).unwrap_or_default(),
            images: spec.map(images::of).unwrap_or_default(),
            labels,
            tolerations: spec.and_then(|s| s.tolerations.as_ref()).into_iter().flatten().map(Toleration::of).collect(),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            ended: matches!(phase, Some("Succeeded" | "Failed")),
            waiting: waiting(pod),
        }
    }

    /// Whether two states of a pod take the same from a node and look the same to other pods.
    pub fn same_footprint(&self, other: &Self) -> bool {
        self.requests == other.requests
            && self.ports == other.ports
            && self.priority == other.priority
            && self.labels == other.labels
            && self.deleting == other.deleting
            && self.key.namespace == other.key.namespace
            && self.affinity == other.affinity
            && self.claims == other.claims
            && self.disks == other.disks
            && self.devices == other.devices
    }
}

fn preempted(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == "DisruptionTarget"
            && condition.status == "True"
            && condition.reason.as_deref() == Some("PreemptionByScheduler")
    })
}

fn owner(pod: &Pod) -> Option<(Name, Name)> {
    let owners = pod.metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some((Name::shared(&owner.kind), Name::shared(&owner.name)))
}

/// The group that a pod names by its label.
fn gang(pod: &Pod) -> Option<Gang> {
    let name = pod.metadata.labels.as_ref()?.get(GROUP_LABEL)?;
    let size = pod.metadata.annotations.as_ref().and_then(|all| all.get(GROUP_SIZE));
    let least = size.and_then(|size| size.parse().ok()).unwrap_or(1).max(1);
    Some(Gang { name: Name::shared(name), least })
}

fn waiting(pod: &Pod) -> Option<(Name, Name)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some((found.reason.as_deref().unwrap_or_default().into(), found.message.as_deref().unwrap_or_default().into()))
}

impl PodInfo {
    /// Whether two states of a pod without a node want the same, so that one that fits nowhere still does not.
    pub fn same_wish(&self, other: &Self) -> bool {
        self.same_footprint(other)
            && self.rule == other.rule
            && self.tolerations == other.tolerations
            && self.gates == other.gates
            && self.scheduler == other.scheduler
            && self.spread == other.spread
            && self.gang == other.gang
            && self.preempts == other.preempts
    }
}
