//! Which sorts of change each plugin is helped by.

use orc_sched::plugin::Hint::{self, *};
use orc_sched::{Engine, Event, FactKind, Profile};
use serde_json::json;

use crate::common::{node, node_info, pod, pod_info, with};
use crate::script::on_node;

/// The events that Kubernetes 1.36's plugins register (`EventsToRegister`), as far as there are such here. A node that is gone
/// helps where its pods, or its place, counted for others. Changes of the waiting pod itself are the queue's.
#[test]
fn each_plugin_names_what_helps() {
    let facts = |kinds: &[FactKind]| kinds.iter().map(|kind| Fact(*kind)).collect::<Vec<_>>();
    let owners = [FactKind::Service, FactKind::ReplicationController, FactKind::ReplicaSet, FactKind::StatefulSet];
    let expected: [(&str, Vec<Hint>, Vec<Hint>); 15] = [
        ("NodeUnschedulable", vec![NodeAdded, NodeSchedulable], vec![]),
        ("NodeName", vec![NodeAdded], vec![]),
        ("TaintToleration", vec![NodeAdded, NodeTaints], vec![]),
        ("NodeAffinity", vec![NodeAdded, NodeLabels], vec![]),
        ("NodePorts", vec![NodeAdded, PodLeft], vec![]),
        ("NodeResourcesFit", vec![NodeAdded, NodeAllocatable, PodLeft], vec![]),
        ("VolumeRestrictions", vec![NodeAdded, PodLeft], facts(&[FactKind::Claim])),
        ("NodeVolumeLimits", vec![NodeAdded, PodLeft], facts(&[FactKind::Claim, FactKind::CsiNode])),
        (
            "VolumeBinding",
            vec![NodeAdded, NodeLabels],
            facts(&[FactKind::Claim, FactKind::Volume, FactKind::StorageClass]),
        ),
        ("VolumeZone", vec![NodeAdded, NodeLabels], facts(&[FactKind::Claim, FactKind::Volume])),
        ("PodTopologySpread", vec![NodeAdded, NodeGone, NodeLabels, NodeTaints, PodLeft, PodCame], facts(&owners)),
        ("InterPodAffinity", vec![NodeAdded, NodeGone, NodeLabels, PodLeft, PodCame], facts(&[FactKind::Namespace])),
        (
            "DynamicResources",
            vec![NodeAdded, NodeLabels, PodLeft],
            facts(&[FactKind::DeviceClaim, FactKind::Slice, FactKind::DeviceClass]),
        ),
        ("NodeResourcesBalancedAllocation", vec![], vec![]),
        ("ImageLocality", vec![], vec![]),
    ];
    let kinds = [
        FactKind::Namespace,
        FactKind::Service,
        FactKind::ReplicationController,
        FactKind::ReplicaSet,
        FactKind::StatefulSet,
        FactKind::Budget,
        FactKind::Claim,
        FactKind::Volume,
        FactKind::StorageClass,
        FactKind::CsiNode,
        FactKind::Capacity,
        FactKind::DeviceClaim,
        FactKind::Slice,
        FactKind::DeviceClass,
    ];
    let plain =
        [NodeAdded, NodeGone, NodeLabels, NodeTaints, NodeSchedulable, NodeAllocatable, PodLeft, PodCame, GroupGrew];
    let all: Vec<Hint> = plain.into_iter().chain(facts(&kinds)).collect();
    let profile = Profile::default();
    assert_eq!(profile.plugins.len(), expected.len());
    for ((plugin, _), (name, nodes, facts)) in profile.plugins.iter().zip(expected) {
        let found: Vec<Hint> = all.iter().copied().filter(|hint| plugin.helped_by(*hint)).collect();
        let wanted: Vec<Hint> =
            all.iter().copied().filter(|hint| nodes.contains(hint) || facts.contains(hint)).collect();
        assert_eq!((plugin.name(), found), (name, wanted));
    }
}

#[test]
fn a_node_that_is_gone_helps_where_its_place_counted() {
    let mut engine = Engine::new(vec![Profile::default()]);
    for (name, cpu) in [("n1", 4000), ("n2", 10)] {
        engine.apply(&Event::Node(node_info(&node(name, cpu, 4, 10))));
    }
    let constraint = json!({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "a"}}});
    let spread = |name: &str| {
        let patch =
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"topologySpreadConstraints": [constraint.clone()]}});
        pod_info(&with(&pod(name, 100), patch))
    };
    engine.apply(&Event::Pod(on_node(&spread("there"), "n1")));
    let waiting = spread("waiting");
    let refused = engine.decide(0, &waiting, 1).outcome.unwrap_err();
    assert!(refused.plugins().contains(&"PodTopologySpread"), "{refused}");
    assert_eq!(engine.apply(&Event::NodeGone("n2".into())), [NodeGone]);
    assert_eq!(engine.decide(0, &waiting, 1).outcome.unwrap().node, "n1");
    assert_eq!(engine.apply(&Event::NodeGone("n2".into())), [], "it was gone already");
}

#[test]
fn room_that_is_no_longer_kept_helps() {
    let mut engine = Engine::new(vec![Profile::default()]);
    for name in ["n1", "n2"] {
        engine.apply(&Event::Node(node_info(&node(name, 1000, 4, 10))));
    }
    let urgent = pod_info(&with(&pod("urgent", 800), json!({"spec": {"priority": 5}})));
    assert!(!engine.nominate(&urgent, &"n1".into()) && !engine.nominate(&urgent, &"n1".into()));
    assert!(engine.nominate(&urgent, &"n2".into()), "n1 is free again");
    assert_eq!(engine.apply(&Event::PodGone(urgent.uid.clone())), [PodLeft]);
    engine.nominate(&urgent, &"n1".into());
    assert_eq!(engine.apply(&Event::Pod(on_node(&urgent, "n2"))), [PodLeft, PodCame], "it went elsewhere");
}
