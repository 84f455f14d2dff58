//! Which nodes a daemon set wants, and the pods for them.
//!
//! As `NodeShouldRunDaemonPod` and `daemonset_util.go` of upstream: a pod is bound to its node by a node affinity on
//! `metadata.name`, so that the scheduler places it, and tolerates what a daemon must live with.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};
use orc_core::node_selector::NodeTerms;

use crate::controllers::history::DAEMON_HASH;
use crate::controllers::support::workload::NewPod;
use crate::controllers::support::{meta, pods};

const GENERATION: &str = "pod-template-generation";
const GENERATION_OF: &str = "deprecated.daemonset.template.generation";

/// What a node is to a daemon set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// It should have a pod.
    Wanted,
    /// It gets no pod, but keeps the one that it has.
    Kept,
    /// It should have none.
    Unwanted,
}

/// What a node is to a daemon set.
pub(crate) fn place(set: &DaemonSet, node: &Node) -> Place {
    let template = set.spec.as_ref().and_then(|spec| spec.template.spec.clone()).unwrap_or_default();
    let name = meta::name(&node.metadata);
    if template.node_name.as_deref().is_some_and(|wanted| !wanted.is_empty() && wanted != name)
        || !selects(&template, node)
    {
        return Place::Unwanted;
    }
    let tolerations = tolerations(&template);
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let hard = taints.filter(|taint| matches!(&*taint.effect, "NoSchedule" | "NoExecute"));
    let refused: Vec<&Taint> = hard.filter(|taint| !tolerations.iter().any(|own| tolerates(own, taint))).collect();
    match refused.iter().any(|taint| taint.effect == "NoExecute") {
        _ if refused.is_empty() => Place::Wanted,
        true => Place::Unwanted,
        false => Place::Kept,
    }
}

/// Whether node selector and required node affinity of a template allow a node.
fn selects(template: &PodSpec, node: &Node) -> bool {
    let none = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&none);
    let selected = template.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = template.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let name = meta::name(&node.metadata);
    selected && required.is_none_or(|required| matches(required, name, labels))
}

/// Whether one of the terms matches; an empty term matches nothing.
pub(crate) fn matches(selector: &NodeSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    NodeTerms::of(selector).matches(name, labels)
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    let same_value = || text(&toleration.value) == text(&taint.value);
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref().unwrap_or_default() {
            "Exists" => true,
            "" | "Equal" => same_value(),
            _ => false,
        }
}

/// The tolerations of a template, with those that every daemon has.
fn tolerations(template: &PodSpec) -> Vec<Toleration> {
    let mut all = template.tolerations.clone().unwrap_or_default();
    let mut known = vec![
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    if template.host_network == Some(true) {
        known.push(("network-unavailable", "NoSchedule"));
    }
    for (taint, effect) in known {
        let new = Toleration {
            key: Some(format!("node.kubernetes.io/{taint}")),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Default::default()
        };
        let same = |own: &Toleration| own.key == new.key && own.effect == new.effect;
        all.retain(|own| !same(own));
        all.push(new);
    }
    all
}

/// The pod of a node.
pub(crate) fn pod(set: &DaemonSet, hash: &str, node: &str) -> NewPod {
    let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let prefix = format!("{}-", meta::name(&set.metadata));
    let namespace = meta::namespace(&set.metadata);
    let mut pod = pods::of_template(&template, namespace, "", &prefix, meta::controller_reference(set));
    pod.metadata.name = None;
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(DAEMON_HASH.to_owned(), hash.to_owned());
    if let Some(generation) = meta::annotation(&set.metadata, GENERATION_OF) {
        labels.insert(GENERATION.to_owned(), generation.to_owned());
    }
    let spec = pod.spec.get_or_insert_default();
    spec.tolerations = Some(tolerations(spec));
    bind(spec, node);
    NewPod { pod, prefix }
}

/// Requires the node by name, in the place of what was required before: that has been checked here.
fn bind(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![field]), ..Default::default() };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node that a daemon's pod is on, or is to be on.
pub(crate) fn target(pod: &Pod) -> Option<&str> {
    let bound = Some(pods::node(pod)).filter(|node| !node.is_empty());
    bound.or_else(|| {
        let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
        let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
        let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
        let names = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
        names.flat_map(|field| field.values.iter().flatten()).next().map(String::as_str)
    })
}
