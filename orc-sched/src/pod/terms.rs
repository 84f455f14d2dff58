//! Affinity to pods, compiled: which other pods a pod wants near it or far from it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm};
use orc_core::Name;
use orc_core::labels::{Operator, Requirement, Selector};

/// Pods of some namespaces and labels, and the label of nodes that makes a place of several nodes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PodTerm {
    /// The node label: nodes of one value are one place.
    pub topology_key: Name,
    /// Names of namespaces; sorted.
    pub namespaces: Vec<Name>,
    /// Namespaces by their labels, beside those named.
    pub namespace_selector: Selector,
    /// The pods' labels.
    pub selector: Selector,
}

impl PodTerm {
    /// Reads a term of a pod with these labels in a namespace. Without namespaces and selector it means the pod's own
    /// namespace. The keys of `matchLabelKeys` and `mismatchLabelKeys` become conditions with the pod's own values, as the
    /// API server writes them into the selector; a condition that stands there already changes nothing. A selector that does
    /// not parse selects nothing.
    pub fn of(term: &PodAffinityTerm, namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let read = |selector| Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing());
        let mut namespaces: Vec<Name> = term.namespaces.iter().flatten().map(Name::shared).collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(Name::shared(namespace));
        }
        namespaces.sort();
        namespaces.dedup();
        let mut selector = read(term.label_selector.as_ref());
        for (keys, operator) in [(&term.match_label_keys, Operator::In), (&term.mismatch_label_keys, Operator::NotIn)] {
            selector = with_own(selector, keys.as_deref().unwrap_or_default(), operator, labels);
        }
        Self {
            topology_key: Name::shared(&term.topology_key),
            namespaces,
            namespace_selector: read(term.namespace_selector.as_ref()),
            selector,
        }
    }

    /// Whether it means a pod; `labels_of` knows the labels of the pod's namespace.
    pub fn matches<'v>(
        &self,
        namespace: &str,
        labels: &BTreeMap<String, String>,
        labels_of: impl Fn(&str) -> Option<&'v BTreeMap<String, String>>,
    ) -> bool {
        self.selector.matches(labels) && self.means_namespace(namespace, labels_of)
    }

    fn means_namespace<'v>(
        &self,
        namespace: &str,
        labels_of: impl Fn(&str) -> Option<&'v BTreeMap<String, String>>,
    ) -> bool {
        if self.namespaces.iter().any(|own| *own == *namespace) || self.namespace_selector.is_everything() {
            return true;
        }
        !self.namespace_selector.is_nothing()
            && labels_of(namespace).is_some_and(|labels| self.namespace_selector.matches(labels))
    }
}

/// Adds the pod's own values of some labels as conditions; keys that the pod does not have are passed over.
pub(super) fn with_own(
    selector: Selector,
    keys: &[String],
    operator: Operator,
    labels: &BTreeMap<String, String>,
) -> Selector {
    keys.iter().fold(selector, |selector, key| {
        let own = labels.get(key).and_then(|value| Requirement::new(key, operator, [value.clone()]).ok());
        match own {
            Some(own) if !selector.requirements().contains(&own) => selector.and(own),
            _ => selector,
        }
    })
}

/// All of a pod's terms.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PodAffinity {
    /// Pods that must be in the same place.
    pub required: Vec<PodTerm>,
    /// Pods that must not be in the same place.
    pub apart: Vec<PodTerm>,
    /// Pods that it would like near (positive weight) or far (negative).
    pub preferred: Vec<(i64, PodTerm)>,
    /// Everything above as a text, made once: signatures are compared for each decision.
    text: Option<Name>,
}

impl PodAffinity {
    /// Reads the terms of a pod with these labels in a namespace.
    pub fn of(affinity: Option<&Affinity>, namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let term = |term: &PodAffinityTerm| PodTerm::of(term, namespace, labels);
        let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let far = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let required = near.and_then(|near| near.required_during_scheduling_ignored_during_execution.as_ref());
        let apart = far.and_then(|far| far.required_during_scheduling_ignored_during_execution.as_ref());
        let liked = near.and_then(|near| near.preferred_during_scheduling_ignored_during_execution.as_ref());
        let disliked = far.and_then(|far| far.preferred_during_scheduling_ignored_during_execution.as_ref());
        let liked = liked.into_iter().flatten().map(|w| (i64::from(w.weight), term(&w.pod_affinity_term)));
        let disliked = disliked.into_iter().flatten().map(|w| (-i64::from(w.weight), term(&w.pod_affinity_term)));
        let mut read = Self {
            required: required.into_iter().flatten().map(term).collect(),
            apart: apart.into_iter().flatten().map(term).collect(),
            preferred: liked.chain(disliked).filter(|(weight, _)| *weight != 0).collect(),
            text: None,
        };
        if !read.is_empty() {
            read.text = Some(Name::new(format!("{:?}{:?}{:?}", read.required, read.apart, read.preferred)));
        }
        read
    }

    /// The terms as a text: equal texts, equal terms.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether there are no terms.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty() && self.apart.is_empty() && self.preferred.is_empty()
    }

    /// All terms.
    pub fn terms(&self) -> impl Iterator<Item = &PodTerm> {
        self.required.iter().chain(&self.apart).chain(self.preferred.iter().map(|(_, term)| term))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn term(value: serde_json::Value) -> PodTerm {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        PodTerm::of(&serde_json::from_value(value).unwrap(), "own", &labels)
    }

    fn means(term: &PodTerm, namespace: &str, app: &str) -> bool {
        let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
        let team = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        term.matches(namespace, &labels, |name| (name == "theirs").then_some(&team))
    }

    #[test]
    fn namespaces_are_named_selected_or_the_pods_own() {
        let own = term(json!({"topologyKey": "z", "labelSelector": {}}));
        assert!(means(&own, "own", "x") && !means(&own, "theirs", "x"));
        let named = term(json!({"topologyKey": "z", "labelSelector": {}, "namespaces": ["n"]}));
        assert!(means(&named, "n", "x") && !means(&named, "own", "x"));
        let selected =
            term(json!({"topologyKey": "z", "labelSelector": {}, "namespaceSelector": {"matchLabels": {"team": "a"}}}));
        assert!(means(&selected, "theirs", "x") && !means(&selected, "own", "x"));
        let all = term(json!({"topologyKey": "z", "labelSelector": {}, "namespaceSelector": {}}));
        assert!(means(&all, "anywhere", "x"));
    }

    #[test]
    fn label_keys_become_conditions_and_no_selector_means_no_pod() {
        let same = term(json!({"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["app", "none"]}));
        assert!(means(&same, "own", "web") && !means(&same, "own", "db"));
        let other = term(json!({"topologyKey": "z", "labelSelector": {}, "mismatchLabelKeys": ["app"]}));
        assert!(!means(&other, "own", "web") && means(&other, "own", "db"));
        assert!(!means(&term(json!({"topologyKey": "z"})), "own", "web"));
    }
}
