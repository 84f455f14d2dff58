//! Topology spread constraints, compiled.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use orc_core::Name;
use orc_core::labels::{Operator, Selector};

use super::terms::with_own;

/// How unevenly pods may be spread over the values of a node label.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SpreadConstraint {
    /// The most that a place may have above the least.
    pub max_skew: i64,
    /// The node label: nodes of one value are one place.
    pub topology_key: Name,
    /// Whether a node that breaks it is refused (`DoNotSchedule`), or only scored lower (`ScheduleAnyway`).
    pub hard: bool,
    /// The pods that are counted, of the pod's own namespace.
    pub selector: Selector,
    /// With fewer places than this the least counts as zero.
    pub min_domains: usize,
    /// Whether only nodes that the pod's node selector and required node affinity allow are counted.
    pub honor_affinity: bool,
    /// Whether only nodes whose taints the pod tolerates are counted.
    pub honor_taints: bool,
    /// Everything above as a text, made once: signatures are compared for each decision.
    text: Name,
}

impl SpreadConstraint {
    /// Reads a constraint of a pod with these labels. A selector that does not parse selects nothing.
    pub fn of(written: &TopologySpreadConstraint, labels: &BTreeMap<String, String>) -> Self {
        let selector = Selector::from_label_selector(written.label_selector.as_ref());
        let selector = selector.unwrap_or_else(|_| Selector::nothing());
        let keys = written.match_label_keys.as_deref().unwrap_or_default();
        let read = Self {
            max_skew: written.max_skew.into(),
            topology_key: Name::shared(&written.topology_key),
            hard: written.when_unsatisfiable == "DoNotSchedule",
            selector: with_own(selector, keys, Operator::In, labels),
            min_domains: usize::try_from(written.min_domains.unwrap_or(1)).unwrap_or(1),
            honor_affinity: written.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: written.node_taints_policy.as_deref() == Some("Honor"),
            text: Name::new(""),
        };
        read.written()
    }

    /// A constraint of a scheduler's defaults, with the selector of the pod's services and owner.
    pub(crate) fn default_of(max_skew: i64, topology_key: &Name, hard: bool, selector: Selector) -> Self {
        let read = Self {
            max_skew,
            topology_key: topology_key.clone(),
            hard,
            selector,
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
            text: Name::new(""),
        };
        read.written()
    }

    /// Whether a pod counts. As in Kubernetes, an empty selector counts nothing.
    pub fn counts(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.requirements().is_empty() && self.selector.matches(labels)
    }

    /// The constraint as a text: equal texts, equal constraints.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn written(mut self) -> Self {
        let Self { max_skew, topology_key, hard, selector, min_domains, honor_affinity, honor_taints, .. } = &self;
        let text = format!("{max_skew} {topology_key} {hard} {selector} {min_domains} {honor_affinity} {honor_taints}");
        self.text = text.into();
        self
    }
}
