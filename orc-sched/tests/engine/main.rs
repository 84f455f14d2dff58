//! Safety of the engine: it decides as the slow reference does, however it got there, and `mark; anything; undo` leaves the
//! state as it was.

#[path = "../common/mod.rs"]
mod common;
mod reference;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{node, node_info, pod, pod_info, with};
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_sched::{
    Change, Decision, Engine, Event, Fragment, NodeInfo, NodeSet, Plugin, PodInfo, Prepared, Profile, Reasons,
    Reservation, Touched, View,
};
use proptest::prelude::*;
use serde_json::json;

const PODS: usize = 24;
const NODES: usize = 7;

/// One thing that happens to an engine.
#[derive(Clone, Debug)]
enum Act {
    Node(usize, Shape),
    NodeGone(usize),
    /// A pod is decided about and, if it fits, assumed.
    Schedule(usize, u64),
    Confirm(usize),
    Elsewhere(usize, usize),
    PodGone(usize),
    Forget(usize),
    Nominate(usize, usize),
    Clear(usize),
    /// A mark, acts, and the way back.
    WhatIf(Vec<Act>),
}

#[derive(Clone, Debug)]
struct Shape {
    cpu: i64,
    memory: i64,
    zone: usize,
    taint: usize,
    cordoned: bool,
}

fn acts(depth: u32) -> impl Strategy<Value = Act> {
    let shape = (1i64..5, 1i64..4, 0usize..3, 0usize..6, prop::bool::weighted(0.1));
    let shape =
        shape.prop_map(|(cpu, memory, zone, taint, cordoned)| Shape { cpu: cpu * 500, memory, zone, taint, cordoned });
    let leaf = prop_oneof![
        3 => (0..NODES, shape).prop_map(|(node, shape)| Act::Node(node, shape)),
        1 => (0..NODES).prop_map(Act::NodeGone),
        8 => (0..PODS, any::<u64>()).prop_map(|(pod, seed)| Act::Schedule(pod, seed)),
        2 => (0..PODS).prop_map(Act::Confirm),
        1 => (0..PODS, 0..NODES).prop_map(|(pod, node)| Act::Elsewhere(pod, node)),
        2 => (0..PODS).prop_map(Act::PodGone),
        1 => (0..PODS).prop_map(Act::Forget),
        1 => (0..PODS, 0..NODES).prop_map(|(pod, node)| Act::Nominate(pod, node)),
        1 => (0..PODS).prop_map(Act::Clear),
    ];
    leaf.prop_recursive(depth, 24, 6, |inner| prop::collection::vec(inner, 1..6).prop_map(Act::WhatIf))
}

fn a_node(number: usize, shape: &Shape) -> Arc<NodeInfo> {
    let taints = match shape.taint {
        0 => json!([{"key": "a", "value": "1", "effect": "NoSchedule"}]),
        1 => json!([{"key": "a", "value": "1", "effect": "PreferNoSchedule"}]),
        2 => json!([{"key": "b", "effect": "NoExecute"}, {"key": "c", "effect": "PreferNoSchedule"}]),
        _ => json!([]),
    };
    let name = format!("n{number}");
    let gpus = (number % 3).to_string();
    let made: Node = with(
        &node(&name, shape.cpu, shape.memory, 6),
        json!({
            "metadata": {"labels": {"zone": format!("z{}", shape.zone)}},
            "spec": {"unschedulable": shape.cordoned, "taints": taints},
            "status": {"allocatable": {"example.com/gpu": gpus}},
        }),
    );
    node_info(&made)
}

/// Pods of a few sorts; several of each, so that signatures are shared.
fn a_pod(number: usize) -> Arc<PodInfo> {
    let base: Pod = pod(&format!("p{number}"), 250 * (number as i64 % 2 + 1));
    let term = |zone: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]});
    let patch = match number % 8 {
        0 => json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}),
        1 => json!({"spec": {"nodeSelector": {"zone": "z1"}}}),
        2 => json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}}),
        3 => json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 5, "preference": term("z0")}, {"weight": 2, "preference": term("z2")}]}}}}),
        4 => json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"example.com/gpu": "1"}}}]}}),
        5 => json!({"spec": {"priority": 10}}),
        _ => json!({}),
    };
    pod_info(&with(&base, patch))
}

fn on_node(pod: &Arc<PodInfo>, node: &str) -> Arc<PodInfo> {
    Arc::new(PodInfo { node: Some(node.into()), ..PodInfo::clone(pod) })
}

struct Run {
    engine: Engine,
    pods: Vec<Arc<PodInfo>>,
    decisions: Vec<Decision>,
}

impl Run {
    fn new() -> Self {
        Self {
            engine: Engine::new(vec![Profile::default()]),
            pods: (0..PODS).map(a_pod).collect(),
            decisions: Vec::new(),
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Node(number, shape) => drop(self.engine.apply(&Event::Node(a_node(*number, shape)))),
            Act::NodeGone(number) => drop(self.engine.apply(&Event::NodeGone(format!("n{number}").into()))),
            Act::Schedule(pod, seed) => self.schedule(*pod, *seed),
            Act::Confirm(pod) => {
                let node = self.engine.view().placed(&self.pods[*pod].uid).map(|placed| placed.node.clone());
                if let Some(node) = node {
                    self.engine.apply(&Event::Pod(on_node(&self.pods[*pod], &node)));
                }
            }
            Act::Elsewhere(pod, node) => {
                drop(self.engine.apply(&Event::Pod(on_node(&self.pods[*pod], &format!("n{node}")))))
            }
            Act::PodGone(pod) => drop(self.engine.apply(&Event::PodGone(self.pods[*pod].uid.clone()))),
            Act::Forget(pod) => {
                let uid = self.pods[*pod].uid.clone();
                if let Some(placed) = self.engine.view().placed(&uid).cloned() {
                    assert_eq!(self.engine.forget(&Reservation { uid, node: placed.node }), placed.assumed);
                }
            }
            Act::Nominate(pod, node) => self.engine.nominate(&self.pods[*pod].clone(), &format!("n{node}").into()),
            Act::Clear(pod) => self.engine.clear(&self.pods[*pod].uid.clone()),
            Act::WhatIf(acts) => self.what_if(acts),
        }
    }

    fn schedule(&mut self, pod: usize, seed: u64) {
        let pod = self.pods[pod].clone();
        if self.engine.is_placed(&pod.uid) {
            return;
        }
        let decision = self.engine.decide(0, &pod, seed);
        let slow = reference::decide(self.engine.view(), &pod, seed);
        match (&decision.outcome, slow) {
            (Ok(fast), Ok((node, score))) => assert_eq!((fast.node.as_str(), fast.score), (&*node, score)),
            (Err(error), Err(refused)) => {
                let told: Vec<_> =
                    error.reasons.iter().map(|(reason, count)| (reason.text.to_string(), *count)).collect();
                assert_eq!(summed(told), summed(refused));
            }
            (fast, slow) => panic!("{fast:?} is not {slow:?}"),
        }
        if let Ok(placement) = &decision.outcome {
            self.engine.assume(&pod, &placement.node);
        }
        self.decisions.push(decision);
    }

    fn what_if(&mut self, acts: &[Act]) {
        let before = copy(&self.engine);
        let mark = self.engine.mark();
        acts.iter().for_each(|act| self.act(act));
        self.engine.undo(mark);
        assert!(*self.engine.view() == *before.view(), "undo left another state");
    }
}

fn summed(reasons: Vec<(String, usize)>) -> std::collections::BTreeMap<String, usize> {
    let mut sums = std::collections::BTreeMap::new();
    reasons.into_iter().for_each(|(text, count)| *sums.entry(text).or_insert(0) += count);
    sums
}

/// An engine of the same state, by the same slots.
fn copy(engine: &Engine) -> Engine {
    let mut copy = Engine::new(vec![Profile::default()]);
    let view = engine.view();
    // Free slots are made by nodes that come and go.
    let filler = |slot: usize| Arc::new(NodeInfo { name: format!("filler-{slot}").into(), ..NodeInfo::default() });
    for slot in 0..view.slot_count() {
        let node = view.node(slot).cloned().unwrap_or_else(|| filler(slot));
        copy.apply(&Event::Node(node));
    }
    for slot in (0..view.slot_count()).filter(|slot| view.node(*slot).is_none()) {
        copy.apply(&Event::NodeGone(format!("filler-{slot}").into()));
    }
    for placed in view.all_placed() {
        if placed.assumed {
            copy.assume(&placed.pod, &placed.node);
        } else {
            copy.apply(&Event::Pod(placed.pod.clone()));
        }
    }
    view.nominations().for_each(|nominated| copy.nominate(&nominated.pod, &nominated.node));
    copy
}

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
struct Counting(Arc<AtomicUsize>);

impl Plugin for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn fragment(&self, _: &PodInfo, _: &mut Fragment) {}

    fn prepare(&self, _: &View, _: &PodInfo) -> Prepared {
        Box::new(())
    }

    fn filter(&self, _: &Prepared, _: &View, nodes: &mut NodeSet, _: &mut Reasons) {
        self.0.fetch_add(nodes.len(), Ordering::SeqCst);
    }

    fn touched(&self, _: &mut Prepared, _: &Change) -> Touched {
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
