//! Safety of the engine: it decides as the slow reference does, however it got there, and `mark; anything; undo` leaves the
//! state as it was.

#[path = "../common/mod.rs"]
mod common;
mod devices;
mod reference;
mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{node, node_info, pod, pod_info, with};
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::Name;
use orc_core::labels::Selector;
use orc_sched::{
    Change, Decision, Engine, Event, Fact, FactKey, FactKind, Fragment, NodeInfo, NodeSet, Plugin, PodInfo,
    PreemptionArgs, Prepared, Profile, Reasons, Reservation, Touched, View,
};
use proptest::prelude::*;
use serde_json::json;

const PODS: usize = 48;
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
    /// The namespace gets the label that a selector of namespaces asks for, or loses it.
    Team(bool),
    /// A service means some pods, or none.
    Service(bool),
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
    let shape = (1i64..5, 1i64..4, 0usize..4, 0usize..6, prop::bool::weighted(0.1));
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
        1 => any::<bool>().prop_map(Act::Team),
        1 => any::<bool>().prop_map(Act::Service),
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
    // Some nodes are in no zone.
    let zone = (shape.zone < 3).then(|| format!("z{}", shape.zone));
    let gpus = (number % 3).to_string();
    let made: Node = with(
        &node(&name, shape.cpu, shape.memory, 6),
        json!({
            "metadata": {"labels": match zone {
                Some(zone) => json!({"zone": zone, "topology.kubernetes.io/zone": zone}),
                None => json!({}),
            }},
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
    let affinity = |what: &str, terms: serde_json::Value| {
        let mut spec = json!({"affinity": {}});
        let (kind, field) = what.split_once('.').unwrap();
        spec["affinity"][kind][format!("{field}DuringSchedulingIgnoredDuringExecution")] = terms;
        spec
    };
    let near = |app: &str, key: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}});
    let spread = |skew: i64, key: &str, when: &str| json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "a"}}});
    let (zone, host) = ("zone", "kubernetes.io/hostname");
    let app = |app: &str| json!({"labels": {"app": app}});
    let patch = match number % 24 {
        0 => json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}),
        1 => json!({"spec": {"nodeSelector": {"zone": "z1"}}}),
        2 => json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}}),
        3 => json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 5, "preference": term("z0")}, {"weight": 2, "preference": term("z2")}]}}}}),
        4 => json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"example.com/gpu": "1"}}}]}}),
        5 => json!({"spec": {"priority": 10}}),
        6 => json!({"metadata": app("a"), "spec": affinity("podAffinity.required", json!([near("a", zone)]))}),
        7 => json!({"metadata": app("b"), "spec": affinity("podAffinity.required", json!([near("a", host)]))}),
        8 => json!({"metadata": app("b"), "spec": affinity("podAntiAffinity.required", json!([near("b", host)]))}),
        9 => json!({"metadata": app("c"), "spec": affinity("podAntiAffinity.required", json!([near("a", zone)]))}),
        10 => json!({"metadata": app("a"), "spec": affinity("podAffinity.preferred", json!([
            {"weight": 7, "podAffinityTerm": near("b", zone)}, {"weight": 3, "podAffinityTerm": near("c", host)}]))}),
        11 => json!({"metadata": app("c"), "spec": affinity("podAntiAffinity.preferred", json!([
            {"weight": 9, "podAffinityTerm": near("a", host)}]))}),
        12 => json!({"metadata": app("a"), "spec": {"topologySpreadConstraints": [spread(1, zone, "DoNotSchedule")]}}),
        13 => json!({"metadata": app("a"), "spec": {"topologySpreadConstraints": [
            spread(1, host, "DoNotSchedule"), spread(2, zone, "ScheduleAnyway")]}}),
        14 => json!({"metadata": app("b"), "spec": {"topologySpreadConstraints": [
            spread(1, zone, "ScheduleAnyway"), spread(1, host, "ScheduleAnyway")]}}),
        15 => {
            let mut constraint = spread(1, zone, "DoNotSchedule");
            constraint["nodeTaintsPolicy"] = json!("Honor");
            constraint["minDomains"] = json!(3);
            constraint["matchLabelKeys"] = json!(["hash"]);
            json!({"metadata": {"labels": {"app": "a", "hash": "1"}}, "spec": {"topologySpreadConstraints": [constraint]}})
        }
        16 => json!({"metadata": app("web")}),
        17 => json!({"metadata": app("web"), "spec": {"priority": -5, "nodeSelector": {"zone": "z0"}}}),
        18 => {
            json!({"metadata": {"namespace": "other", "labels": {"app": "a"}}, "spec": affinity("podAntiAffinity.required", json!([
            {"topologyKey": zone, "labelSelector": {"matchLabels": {"app": "a"}}, "namespaceSelector": {"matchLabels": {"team": "x"}}}]))})
        }
        19 => json!({"metadata": app("a"), "spec": {"priority": 10}}),
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
                    assert_eq!(
                        self.engine.forget(&Reservation { uid, node: placed.node, facts: Vec::new() }),
                        placed.assumed
                    );
                }
            }
            Act::Nominate(pod, node) => self.engine.nominate(&self.pods[*pod].clone(), &format!("n{node}").into()),
            Act::Clear(pod) => self.engine.clear(&self.pods[*pod].uid.clone()),
            Act::Team(there) => {
                let labels = if *there { [("team".to_owned(), "x".to_owned())].into() } else { BTreeMap::new() };
                let key = FactKey::new(FactKind::Namespace, "", "default");
                drop(self.engine.apply(&Event::Fact(key, Arc::new(Fact::Namespace(labels)))));
            }
            Act::Service(there) => {
                let key = FactKey::new(FactKind::Service, "default", "web");
                let selector = Selector::parse("app=web").unwrap();
                drop(self.engine.apply(&match there {
                    true => Event::Fact(key, Arc::new(Fact::Selecting(selector))),
                    false => Event::FactGone(key),
                }));
            }
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
        self.explained(&pod, seed, &decision);
        match &decision.outcome {
            Ok(placement) => drop(self.engine.assume(&pod, &placement.node)),
            Err(_) => self.preempt(&pod, seed),
        }
        self.decisions.push(decision);
    }

    /// The explanation comes to the same total, and refuses the nodes that the decision did not count as feasible.
    fn explained(&mut self, pod: &Arc<PodInfo>, seed: u64, decision: &Decision) {
        if self.engine.view().nominations().next().is_some() {
            return;
        }
        let explained = self.engine.explain(0, pod, seed);
        let feasible = explained.nodes.iter().filter(|node| node.refused.is_empty()).count();
        let Ok(placement) = &decision.outcome else { return assert_eq!(feasible, 0) };
        let chosen = explained.nodes.iter().find(|node| node.node == *placement.node).unwrap();
        assert_eq!((chosen.total, feasible), (Some(placement.score), placement.feasible));
        assert_eq!(explained.nodes.iter().filter_map(|node| node.total).max(), Some(placement.score));
    }

    /// What preemption takes away is enough and not too much, of lower priority, and nothing is changed by looking.
    fn preempt(&mut self, pod: &Arc<PodInfo>, seed: u64) {
        let before = copy(&self.engine);
        let found = self.engine.preempt(0, pod, seed, &PreemptionArgs::default());
        assert!(*self.engine.view() == *before.view(), "looking for victims left another state");
        let Ok(found) = found else { return };
        let victims: Vec<Name> = found.plan.victims.iter().map(|victim| victim.uid.clone()).collect();
        assert!(found.plan.victims.iter().all(|victim| victim.priority < pod.priority));
        let view = self.engine.view();
        assert!(reference::fits_without(view, &found.node, &victims, pod), "{victims:?} are not enough");
        // Affinity can make a pod fit because of a pod that is spared later.
        let plain = pod.affinity.is_empty() && pod.spread.is_empty();
        for spared in (0..victims.len()).filter(|_| plain) {
            let fewer: Vec<Name> =
                victims.iter().enumerate().filter(|(at, _)| *at != spared).map(|(_, v)| v.clone()).collect();
            assert!(!reference::fits_without(view, &found.node, &fewer, pod), "{} is taken in vain", victims[spared]);
        }
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
    for kind in [FactKind::Namespace, FactKind::Service] {
        for (key, fact) in view.facts().all(kind) {
            copy.apply(&Event::Fact(key.clone(), Arc::new(fact.clone())));
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
