//! What scheduling reads of a pod, compiled once.

mod affinity;
mod ports;
mod requests;
mod toleration;
mod unmet;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use orc_core::{Name, ObjectKey};

pub use affinity::{NodeRule, NodeTerm};
pub use ports::HostPort;
pub use requests::{Requests, amount};
pub use toleration::{Effect, Taint, Toleration};

/// The scheduler of pods that name none.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

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
    /// The first hard demand that no plugin decides yet, as a refusal says it.
    pub unmet: Option<&'static str>,
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
            gates: spec
                .and_then(|s| s.scheduling_gates.as_ref())
                .into_iter()
                .flatten()
                .map(|g| Name::new(&g.name))
                .collect(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            requests: Requests::of(pod),
            ports: spec.map(ports::of).unwrap_or_default(),
            rule: spec.map(NodeRule::of).unwrap_or_default(),
            unmet: spec.and_then(unmet::of),
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
    }
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
    }
}
