//! Safety of the engine: it decides as the slow reference does, however it got there, and `mark; anything; undo` leaves the
//! state as it was.

mod acts;
#[path = "../common/mod.rs"]
mod common;
mod copy;
mod devices;
mod groups;
mod hints;
mod reference;
mod script;
mod sharing;
mod storage;
mod things;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use acts::acts;
use common::{node, node_info, pod, pod_info, with};
use copy::copy;
use orc_sched::{
    Change, Engine, Event, Fragment, NodeSet, Plugin, PodInfo, PreemptionArgs, Prepared, Profile, Reasons, Touched,
    View,
};
use proptest::prelude::*;
use script::{Run, on_node};
use serde_json::json;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn decides_as_the_reference_and_undoes_exactly(script in prop::collection::vec(acts(2), 1..60)) {
        let mut run = Run::new();
        for act in &script {
            run.act(act);
        }
        prop_assert!(*run.engine.view() == *copy(&run.engine).view(), "columns do not follow from nodes and pods");
        let mut again = Run::new();
        script.iter().for_each(|act| again.act(act));
        prop_assert_eq!(run.decisions, again.decisions);
    }
}

/// Counts the nodes that it is asked about.
pub(crate) struct Counting(pub(crate) Arc<AtomicUsize>);

impl Plugin for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn fragment(&self, _: &View, _: &PodInfo, _: &mut Fragment) {}

    fn prepare(&self, _: &View, _: &PodInfo) -> Prepared {
        Box::new(())
    }

    fn filter(&self, _: &Prepared, _: &View, nodes: &mut NodeSet, _: &mut Reasons) {
        self.0.fetch_add(nodes.len(), Ordering::SeqCst);
    }

    fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
        Touched::None
    }
}

#[test]
fn a_placed_pod_costs_one_node_however_many_there_are() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut engine = Engine::new(vec![Profile::default().with(Counting(asked.clone()), 0)]);
    for i in 0..500 {
        engine.apply(&Event::Node(node_info(&node(&format!("n{i}"), 4000, 4, 10))));
    }
    for i in 0..100 {
        let pod = pod_info(&pod(&format!("p{i}"), 100));
        let placement = engine.decide(0, &pod, i).outcome.unwrap();
        let reservation = engine.assume(&pod, &placement.node);
        assert_eq!(reservation.node, placement.node);
        engine.apply(&Event::Pod(on_node(&pod, &placement.node)));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 500 + 99);
}

#[test]
fn a_plugin_that_shares_nothing_is_asked_anew() {
    struct Alone(Arc<AtomicUsize>);
    impl Plugin for Alone {
        fn name(&self) -> &'static str {
            "Alone"
        }
        fn prepare(&self, _: &View, _: &PodInfo) -> Prepared {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::new(())
        }
        fn filter(&self, _: &Prepared, _: &View, nodes: &mut NodeSet, why: &mut Reasons) {
            nodes.retain(|slot| {
                why.refuse(slot, "Alone", "node(s) were not to its taste", true);
                false
            });
        }
    }
    let prepared = Arc::new(AtomicUsize::new(0));
    let mut engine = Engine::new(vec![Profile::empty("x").with(Alone(prepared.clone()), 0)]);
    engine.apply(&Event::Node(node_info(&node("n1", 1000, 1, 1))));
    for i in 0..3 {
        let refused = engine.decide(0, &pod_info(&pod("p", 1)), i).outcome.unwrap_err();
        assert_eq!(refused.to_string(), "0/1 nodes are available: 1 node(s) were not to its taste.");
    }
    assert_eq!(prepared.load(Ordering::SeqCst), 3);
}

#[test]
fn room_is_kept_for_a_nominated_pod() {
    let mut engine = Engine::new(vec![Profile::default()]);
    engine.apply(&Event::Node(node_info(&node("n1", 1000, 1, 10))));
    let urgent = pod_info(&with(&pod("urgent", 800), json!({"spec": {"priority": 5}})));
    let later = pod_info(&pod("later", 800));
    engine.nominate(&urgent, &"n1".into());
    let refused = engine.decide(0, &later, 1).outcome.unwrap_err();
    assert_eq!(refused.to_string(), "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(engine.decide(0, &urgent, 1).outcome.unwrap().node, "n1");
    engine.clear(&urgent.uid);
    assert!(engine.decide(0, &later, 1).outcome.is_ok());
}

/// What a pod is told of one node with a pod on it that takes host port 80.
fn told(node_patch: serde_json::Value, pod_patch: serde_json::Value) -> String {
    let mut engine = Engine::new(vec![Profile::default()]);
    engine.apply(&Event::Node(node_info(&with(&node("n1", 1000, 1, 2), node_patch))));
    let port = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
    engine.apply(&Event::Pod(on_node(&pod_info(&with(&pod("there", 100), port)), "n1")));
    let asked = pod_info(&with(&pod("asked", 100), pod_patch));
    engine.decide(0, &asked, 1).outcome.map_or_else(|error| error.to_string(), |placement| placement.node.to_string())
}

#[test]
fn refusals_are_told_in_kubernetes_words() {
    let cordoned = || json!({"spec": {"unschedulable": true}});
    let only = |text: &str| format!("0/1 nodes are available: 1 {text}.");
    assert_eq!(told(cordoned(), json!({})), only("node(s) were unschedulable"));
    let tolerant = json!({"spec": {"tolerations": [{"operator": "Exists"}]}});
    assert_eq!(told(cordoned(), tolerant), "n1");
    let elsewhere = json!({"spec": {"nodeName": "n2"}});
    assert_eq!(told(json!({}), elsewhere), only("node(s) didn't match the requested node name"));
    let selecting = json!({"spec": {"nodeSelector": {"a": "b"}}});
    assert_eq!(told(json!({}), selecting), only("node(s) didn't match Pod's node affinity/selector"));
    let ports = |ip: &str| json!({"spec": {"containers": [{"name": "a", "ports": [{"hostPort": 80, "containerPort": 1, "hostIP": ip}]}]}});
    assert_eq!(told(json!({}), ports("10.0.0.1")), only("node(s) didn't have free ports for the requested pod ports"));
    let asking =
        |what: serde_json::Value| json!({"spec": {"containers": [{"name": "a", "resources": {"requests": what}}]}});
    assert_eq!(
        told(json!({}), asking(json!({"cpu": "2", "memory": "2Gi", "ephemeral-storage": "1Gi"}))),
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient memory."
    );
    assert_eq!(told(json!({}), asking(json!({"example.com/gpu": "1"}))), only("Insufficient example.com/gpu"));
    assert_eq!(told(json!({"status": {"allocatable": {"pods": "1"}}}), json!({})), only("Too many pods"));
    assert_eq!(told(json!({}), json!({})), "n1");
}

#[test]
fn the_cheapest_victims_are_found() {
    let mut engine = Engine::new(vec![Profile::default()]);
    let low = |name: &str, node: &str, priority: i64, cpu: i64| {
        on_node(&pod_info(&with(&pod(name, cpu), json!({"spec": {"priority": priority}}))), node)
    };
    for name in ["n1", "n2", "n3", "n4"] {
        engine.apply(&Event::Node(node_info(&node(name, 1000, 1, 10))));
    }
    // One of high priority; two of low; one of low; too important.
    let pods =
        [("a", "n1", 5, 1000), ("b", "n2", 1, 500), ("c", "n2", 1, 500), ("d", "n3", 1, 1000), ("e", "n4", 50, 1000)];
    for (name, node, priority, cpu) in pods {
        engine.apply(&Event::Pod(low(name, node, priority, cpu)));
    }
    let urgent = pod_info(&with(&pod("urgent", 900), json!({"spec": {"priority": 10}})));
    for seed in 0..5 {
        let found = engine.preempt(0, &urgent, seed, &PreemptionArgs::default()).unwrap();
        assert_eq!((found.node.as_str(), found.candidates), ("n3", 3));
    }
    // The node's plan is forgotten when the node changes.
    engine.apply(&Event::PodGone("c".into()));
    engine.apply(&Event::Pod(low("c", "n3", 1, 200)));
    let found = engine.preempt(0, &urgent, 1, &PreemptionArgs::default()).unwrap();
    assert_eq!((found.node.as_str(), found.plan.victims[0].uid.as_str()), ("n2", "b"));
}
