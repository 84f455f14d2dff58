//! Which labels a node may give itself.

use std::collections::BTreeSet;

use orc_core::Doc;
use serde_json::Value;

/// Labels of these domains, and of domains below them, a kubelet sets itself.
const OWN_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// The labels that differ.
pub(super) fn changed_labels(new: &Doc, old: &Doc) -> BTreeSet<String> {
    let of = |doc: &Doc| {
        let labels = doc.at(&["metadata", "labels"]).and_then(Value::as_object);
        labels.cloned().unwrap_or_default()
    };
    let (new, old) = (of(new), of(old));
    new.keys().chain(old.keys()).filter(|key| new.get(*key) != old.get(*key)).cloned().collect()
}

/// The labels among these that a node may not touch, as a text.
pub(super) fn forbidden(labels: &BTreeSet<String>) -> String {
    let within = |domain: &str, parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
    };
    let refused = |label: &&String| {
        let domain = label.split_once('/').map_or("", |(domain, _)| domain);
        let kubernetes = within(domain, "kubernetes.io") || within(domain, "k8s.io");
        let own = OWN_LABELS.contains(&label.as_str()) || OWN_DOMAINS.iter().any(|parent| within(domain, parent));
        within(domain, "node-restriction.kubernetes.io") || kubernetes && !own
    };
    labels.iter().filter(refused).cloned().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_to_its_own_labels() {
        let labels = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(forbidden(&labels(&["disk", "acme.com/x", "kubernetes.io/hostname", "node.kubernetes.io/x"])), "");
        assert_eq!(
            forbidden(&labels(&["node-restriction.kubernetes.io/x", "node-role.kubernetes.io/admin", "a.k8s.io/b"])),
            "a.k8s.io/b, node-restriction.kubernetes.io/x, node-role.kubernetes.io/admin"
        );
    }
}
