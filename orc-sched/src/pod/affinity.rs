//! Which nodes a pod wants: node selector, required and preferred node affinity, compiled to requirements.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeAffinity, PodSpec};
use orc_core::Name;
use orc_core::node_selector::{NodeTerm, NodeTerms};

/// Which nodes a pod may go to and which it prefers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct NodeRule {
    selector: BTreeMap<String, String>,
    /// `None` when nothing is required; one of the terms must match.
    required: Option<NodeTerms>,
    preferred: Vec<(i64, NodeTerm)>,
    /// Everything above as a text, made once: signatures are compared for each decision.
    text: Option<Name>,
}

impl NodeRule {
    /// The rule of a pod.
    pub fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        Self::new(spec.node_selector.clone().unwrap_or_default(), affinity)
    }

    /// The rule of a node affinity alone.
    pub fn of_affinity(affinity: &NodeAffinity) -> Self {
        Self::new(BTreeMap::new(), Some(affinity))
    }

    fn new(selector: BTreeMap<String, String>, affinity: Option<&NodeAffinity>) -> Self {
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        let mut rule = Self {
            selector,
            required: required.map(NodeTerms::of),
            preferred: preferred
                .into_iter()
                .flatten()
                .filter(|term| term.weight != 0)
                .map(|term| (i64::from(term.weight), NodeTerm::of(&term.preference)))
                .collect(),
            text: None,
        };
        if !(rule.allows_all() && rule.prefers_none()) {
            rule.text = Some(Name::new(format!("{:?}{:?}{:?}", rule.selector, rule.required, rule.preferred)));
        }
        rule
    }

    /// The rule as a text: equal texts, equal rules. Empty when every node is as good as any other.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether every node will do.
    pub fn allows_all(&self) -> bool {
        self.selector.is_empty() && self.required.is_none()
    }

    /// Whether no node is preferred.
    pub fn prefers_none(&self) -> bool {
        self.preferred.is_empty()
    }

    /// Whether a node will do.
    pub fn allows(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.matches(name, labels))
    }

    /// The summed weights of the preferences that a node meets.
    pub fn preference(&self, name: &str, labels: &BTreeMap<String, String>) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.matches(name, labels)).map(|(weight, _)| weight).sum()
    }
}
