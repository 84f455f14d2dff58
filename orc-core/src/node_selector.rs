//! Node selectors: which nodes a pod, a volume or a pool of devices may use.
//!
//! Compiled once from `NodeSelector` and its terms, then matched without allocating. The scheduler, the daemon set
//! controller and volumes read them by the same rules: terms are alternatives, the parts of a term must all hold, and an
//! empty term or one that does not parse matches nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use crate::Name;
use crate::labels::{Operator, Requirement};

/// One term: all of its requirements must hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeTerm {
    /// On labels.
    labels: Vec<Requirement>,
    /// On `metadata.name`: whether the name must be one of these (or none of these).
    names: Vec<(bool, Vec<Name>)>,
    /// Whether the term can match at all.
    possible: bool,
}

impl NodeTerm {
    /// Reads a term.
    pub fn of(term: &NodeSelectorTerm) -> Self {
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

/// Terms of which one must match.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct NodeTerms(Vec<NodeTerm>);

impl NodeTerms {
    /// Reads a selector.
    pub fn of(selector: &NodeSelector) -> Self {
        Self(selector.node_selector_terms.iter().map(NodeTerm::of).collect())
    }

    /// Whether a node matches one of the terms; without terms none does.
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().any(|term| term.matches(name, labels))
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

    fn allows(terms: Value) -> bool {
        let selector: NodeSelector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
        let labels = [("zone", "a"), ("cores", "8")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        NodeTerms::of(&selector).matches("n1", &labels.into())
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
