//! Constraints of pods that have none: their services and owners say which pods are to be spread.

use orc_core::Name;
use orc_core::labels::{Requirement, Selector};

use crate::facts::{Fact, FactKind};
use crate::pod::{PodInfo, SpreadConstraint};
use crate::view::View;

/// A constraint without selector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpreadDefault {
    /// The most that a place may have above the least.
    pub max_skew: i64,
    /// The node label.
    pub topology_key: Name,
    /// Whether a node that breaks it is refused.
    pub hard: bool,
}

/// Which constraints pods without any get.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum SpreadDefaults {
    /// Kubernetes': at most 3 more on a node and 5 more in a zone, as preferences. A node without a zone is scored all the same.
    #[default]
    System,
    /// Those of a configuration.
    List(Vec<SpreadDefault>),
}

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

impl SpreadDefaults {
    /// Whether nodes without one of the labels are scored.
    pub(super) fn lenient(&self) -> bool {
        *self == Self::System
    }

    fn each(&self, mut act: impl FnMut(i64, &Name, bool)) {
        match self {
            Self::System => {
                act(3, &Name::shared(HOSTNAME), false);
                act(5, &Name::shared(ZONE), false);
            }
            Self::List(list) => list.iter().for_each(|one| act(one.max_skew, &one.topology_key, one.hard)),
        }
    }

    /// The keys whose places are asked for.
    pub(super) fn keys(&self) -> Vec<Name> {
        let mut keys = Vec::new();
        self.each(|_, key, hard| {
            if hard || **key != *HOSTNAME {
                keys.push(key.clone());
            }
        });
        keys
    }

    /// The constraints of a pod that has none of its own; none when no service or owner means it.
    pub(super) fn of(&self, view: &View, pod: &PodInfo) -> Vec<SpreadConstraint> {
        let mut constraints = Vec::new();
        if !pod.spread.is_empty() {
            return constraints;
        }
        let Some(selector) = selector(view, pod) else { return constraints };
        self.each(|max_skew, key, hard| {
            constraints.push(SpreadConstraint::default_of(max_skew, key, hard, selector.clone()));
        });
        constraints
    }
}

/// The conditions of the services that mean a pod and of its owner, together.
fn selector(view: &View, pod: &PodInfo) -> Option<Selector> {
    let namespace = pod.key.namespace.as_ref()?;
    let mut all: Vec<Requirement> = Vec::new();
    for (_, fact) in view.facts().within(FactKind::Service, namespace) {
        if let Fact::Selecting(selector) = fact
            && selector.matches(&pod.labels)
        {
            all.extend(selector.requirements().iter().cloned());
        }
    }
    let owner = pod.owner.as_ref().and_then(|(kind, name)| {
        let kind = match &**kind {
            "ReplicationController" => FactKind::ReplicationController,
            "ReplicaSet" => FactKind::ReplicaSet,
            "StatefulSet" => FactKind::StatefulSet,
            _ => return None,
        };
        view.facts().selector(kind, namespace, name)
    });
    all.extend(owner.iter().flat_map(|selector| selector.requirements().iter().cloned()));
    all.sort();
    all.dedup();
    (!all.is_empty()).then(|| Selector::of(all))
}
