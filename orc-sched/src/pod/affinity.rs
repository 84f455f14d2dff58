//! Which nodes a pod wants: node selector, required and preferred node affinity, compiled to requirements.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};
use orc_core::Name;
use orc_core::labels::{Operator, Requirement};

/// One term: all of its requirements must hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeTerm {
    /// On labels.
    labels: Vec<Requirement>,
    /// On `metadata.name`: whether the name must be one of these (or none of these).
    names: Vec<(bool, Vec<Name>)>,
    /// Whether the term can match at all: an empty term, or one that does not parse, matches nothing.
    possible: bool,
}

impl NodeTerm {
    fn of(term: &NodeSelectorTerm) -> Self {
        let labels: Option<Vec<_>> = term.match_expressions.iter().flatten().map(requirement).collect();
        let names: Option<Vec<_>> = term.match_fields.iter().flatten().map(name_rule).collect();
        let empty = term.match_expressions.iter().flatten().next().is_none()
            && term.match_fields.iter().flatten().next().is_none();
        match (labels, names) {
            (Some(labels), Some(names)) if !empty => Self { labels, names, possible: true },
            _ => Self { labels: Vec::new(), names: Vec::new(), possible: false },
        }
    }

    /// Whether a node matches.
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.possible
            && self.names.iter().all(|(wanted, names)| names.iter().any(|own| *own == *name) == *wanted)
            && self.labels.iter().all(|requirement| requirement.matches(labels))
    }
}

/// Which nodes a pod may go to and which it prefers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct NodeRule {
    selector: BTreeMap<String, String>,
    /// `None` when nothing is required; one of the terms must match.
    required: Option<Vec<NodeTerm>>,
    preferred: Vec<(i64, NodeTerm)>,
}

impl NodeRule {
    /// The rule of a pod.
    pub fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        Self {
            selector: spec.node_selector.clone().unwrap_or_default(),
            required: required.map(|selector| selector.node_selector_terms.iter().map(NodeTerm::of).collect()),
            preferred: preferred
                .into_iter()
                .flatten()
                .filter(|term| term.weight != 0)
                .map(|term| (i64::from(term.weight), NodeTerm::of(&term.preference)))
                .collect(),
        }
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
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }

    /// The summed weights of the preferences that a node meets.
    pub fn preference(&self, name: &str, labels: &BTreeMap<String, String>) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.matches(name, labels)).map(|(weight, _)| weight).sum()
    }
}

fn requirement(written: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match &*written.operator {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(&written.key, operator, written.values.iter().flatten().cloned()).ok()
}

fn name_rule(written: &NodeSelectorRequirement) -> Option<(bool, Vec<Name>)> {
    let wanted = match &*written.operator {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    (written.key == "metadata.name").then(|| (wanted, written.values.iter().flatten().map(Name::new).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rule(required: Value) -> NodeRule {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": required}}});
        let spec: PodSpec = serde_json::from_value(json!({"containers": [], "affinity": affinity})).unwrap();
        NodeRule::of(&spec)
    }

    fn allows(required: Value) -> bool {
        let labels = [("zone", "a"), ("cores", "8")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        rule(required).allows("n1", &labels.into())
    }

    fn on(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn terms_are_alternatives_and_their_parts_are_not() {
        assert!(allows(json!([on("zone", "In", &["b"]), on("zone", "In", &["a"])])));
        let mut both = on("zone", "In", &["a"]);
        both["matchFields"] = json!([{"key": "metadata.name", "operator": "In", "values": ["n2"]}]);
        assert!(!allows(json!([both])));
    }

    #[test]
    fn operators_mean_what_they_mean_in_kubernetes() {
        assert!(allows(json!([on("cores", "Gt", &["7"])])) && !allows(json!([on("cores", "Gt", &["8"])])));
        assert!(allows(json!([on("cores", "Lt", &["9"])])));
        assert!(allows(json!([on("other", "NotIn", &["x"])])) && allows(json!([on("other", "DoesNotExist", &[])])));
        assert!(!allows(json!([on("other", "Exists", &[])])));
        assert!(allows(json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n2"]}]}])));
    }

    #[test]
    fn empty_terms_and_broken_ones_match_nothing() {
        assert!(!allows(json!([{}])) && !allows(json!([])));
        assert!(!allows(json!([on("zone", "Near", &["a"])])));
    }
}
