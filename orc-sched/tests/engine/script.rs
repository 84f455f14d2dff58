//! Scripts of what happens to an engine, and what must hold whatever they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use orc_core::Name;
use orc_core::labels::Selector;
use orc_sched::plugin::Hint;
use orc_sched::plugins::DynamicResources;
use orc_sched::{Decision, Engine, Event, Fact, FactKey, FactKind, PodInfo, PreemptionArgs, Profile, Reservation};
use serde_json::json;

use crate::acts::{Act, NODES, PODS};
use crate::copy::copy;
use crate::things::{a_claim, a_node, a_pod};
use crate::{devices, reference};

/// The default profile, with an evaluator of the expressions of claims.
pub(crate) fn profile() -> Profile {
    Profile::default().instead(DynamicResources::new(Arc::new(devices::Models)))
}

pub(crate) fn on_node(pod: &Arc<PodInfo>, node: &str) -> Arc<PodInfo> {
    Arc::new(PodInfo { node: Some(node.into()), ..PodInfo::clone(pod) })
}

pub(crate) struct Run {
    pub(crate) engine: Engine,
    pods: Vec<Arc<PodInfo>>,
    pub(crate) decisions: Vec<Decision>,
    /// Pods that fit nowhere when they were last tried, with the plugins that refused nodes, as the queue keeps them.
    parked: Vec<(Arc<PodInfo>, Vec<&'static str>)>,
    depth: usize,
}

impl Run {
    pub(crate) fn new() -> Self {
        let mut run = Self {
            engine: Engine::new(vec![profile()]),
            pods: (0..PODS).map(a_pod).collect(),
            decisions: Vec::new(),
            parked: Vec::new(),
            depth: 0,
        };
        devices::put(&mut run.engine, devices::CLASSES, &json!({"metadata": {"name": "gpu"}, "spec": {}}));
        // Most claims are there from the start, and some nodes have devices.
        for number in (0..PODS).filter(|number| number % 24 >= 20 && number % 24 != 22) {
            devices::put(&mut run.engine, devices::CLAIMS, &a_claim(Some(number)));
        }
        devices::put(&mut run.engine, devices::CLAIMS, &a_claim(None));
        for node in 0..NODES / 2 {
            run.devices(node, node % 3);
        }
        run
    }

    pub(crate) fn act(&mut self, act: &Act) {
        let hints = self.change(act);
        if self.depth == 0 && !matches!(act, Act::WhatIf(_)) {
            self.retry(&hints);
        }
    }

    /// Does it; returns what parked pods are told of it.
    fn change(&mut self, act: &Act) -> Vec<Hint> {
        let left = |left: bool| if left { vec![Hint::PodLeft] } else { Vec::new() };
        match act {
            Act::Node(number, shape) => return self.engine.apply(&Event::Node(a_node(*number, shape))),
            Act::NodeGone(number) => return self.engine.apply(&Event::NodeGone(format!("n{number}").into())),
            Act::Schedule(pod, seed) => self.schedule(*pod, *seed),
            Act::Confirm(pod) => {
                let node = self.engine.view().placed(&self.pods[*pod].uid).map(|placed| placed.node.clone());
                if let Some(node) = node {
                    return self.engine.apply(&Event::Pod(on_node(&self.pods[*pod], &node)));
                }
            }
            Act::Elsewhere(pod, node) => {
                return self.engine.apply(&Event::Pod(on_node(&self.pods[*pod], &format!("n{node}"))));
            }
            Act::PodGone(pod) => return self.engine.apply(&Event::PodGone(self.pods[*pod].uid.clone())),
            Act::Forget(pod) => {
                let uid = self.pods[*pod].uid.clone();
                if let Some(placed) = self.engine.view().placed(&uid).cloned() {
                    let reservation = Reservation { uid, node: placed.node, facts: Vec::new() };
                    assert_eq!(self.engine.forget(&reservation), placed.assumed);
                    return left(placed.assumed);
                }
            }
            Act::Nominate(pod, node) => {
                return left(self.engine.nominate(&self.pods[*pod].clone(), &format!("n{node}").into()));
            }
            Act::Clear(pod) => return left(self.engine.clear(&self.pods[*pod].uid.clone())),
            Act::Team(there) => {
                let labels = if *there { [("team".to_owned(), "x".to_owned())].into() } else { BTreeMap::new() };
                let key = FactKey::new(FactKind::Namespace, "", "default");
                return self.engine.apply(&Event::Fact(key, Arc::new(Fact::Namespace(labels))));
            }
            Act::Service(there) => {
                let key = FactKey::new(FactKind::Service, "default", "web");
                let selector = Selector::parse("app=web").unwrap();
                return self.engine.apply(&match there {
                    true => Event::Fact(key, Arc::new(Fact::Selecting(selector))),
                    false => Event::FactGone(key),
                });
            }
            Act::Devices(node, devices) => return self.devices(*node, *devices),
            Act::Claim(number) => return devices::put(&mut self.engine, devices::CLAIMS, &a_claim(*number)),
            Act::ClaimGone(number) => {
                let name = a_claim(*number)["metadata"]["name"].as_str().unwrap().to_owned();
                return self.engine.apply(&Event::FactGone(FactKey::new(FactKind::DeviceClaim, "default", name)));
            }
            Act::Held(number, node) => {
                let mut claim = a_claim(*number);
                let device = json!({"request": "r", "driver": "d", "pool": format!("n{node}"), "device": "a"});
                let terms = json!([{"matchFields": [
                    {"key": "metadata.name", "operator": "In", "values": [format!("n{node}")]}]}]);
                let allocation =
                    json!({"devices": {"results": [device]}, "nodeSelector": {"nodeSelectorTerms": terms}});
                claim["status"] = json!({"allocation": allocation});
                return devices::put(&mut self.engine, devices::CLAIMS, &claim);
            }
            Act::WhatIf(acts) => self.what_if(acts),
        }
        Vec::new()
    }

    fn devices(&mut self, node: usize, devices: usize) -> Vec<Hint> {
        let node = format!("n{node}");
        let mut slice = match devices {
            0 => {
                let key = FactKey::new(FactKind::Slice, "", format!("slice-{node}"));
                return self.engine.apply(&Event::FactGone(key));
            }
            1 => devices::slice(&node, &[("a", "x", 0), ("b", "y", 0)]),
            _ => devices::slice(&node, &[("a", "x", 0), ("b", "x", 0), ("c", "y", 0)]),
        };
        if devices == 3 {
            slice["spec"]["pool"]["resourceSliceCount"] = json!(2);
        }
        devices::put(&mut self.engine, devices::SLICES, &slice)
    }

    /// Hints are sound: a parked pod that nothing helped, in the eyes of the plugins that refused it, does not fit.
    fn retry(&mut self, hints: &[Hint]) {
        let parked = std::mem::take(&mut self.parked);
        for (pod, refused) in parked {
            if self.engine.is_placed(&pod.uid) {
                continue;
            }
            let profile = &self.engine.profiles()[0].plugins;
            let asked = || profile.iter().filter(|(plugin, _)| refused.contains(&plugin.name()));
            let helped = match refused.is_empty() {
                true => hints.contains(&Hint::NodeAdded),
                false => asked().any(|(plugin, _)| hints.iter().any(|hint| plugin.helped_by(*hint))),
            };
            match (self.engine.decide(0, &pod, 0).outcome, helped) {
                (Ok(placement), false) => {
                    panic!("{refused:?} hear nothing of {hints:?}: {} fits {placement:?}", pod.uid)
                }
                (Ok(_), true) => {}
                (Err(error), true) => self.parked.push((pod, error.plugins())),
                (Err(_), false) => self.parked.push((pod, refused)),
            }
        }
    }

    /// A pod that was placed by our own decision is told of by itself, not as a hint.
    fn came(&mut self, came: &PodInfo, kept: bool) {
        let (view, profile) = (self.engine.view(), &self.engine.profiles()[0].plugins);
        let helped = |(waiting, refused): &(Arc<PodInfo>, Vec<&str>)| {
            profile.iter().filter(|(plugin, _)| refused.contains(&plugin.name())).any(|(plugin, _)| {
                let came = plugin.helped_by(Hint::PodCame) && plugin.helped_by_pod(view, waiting, came);
                came || (kept && plugin.helped_by(Hint::PodLeft))
            })
        };
        // Who is helped is tried again, and parked anew; here they are forgotten.
        let parked = std::mem::take(&mut self.parked);
        self.parked = parked.into_iter().filter(|parked| !helped(parked)).collect();
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
            Ok(placement) => {
                let nominated = self.engine.view().nomination(&pod.uid).map(|nominated| nominated.node.clone());
                drop(self.engine.reserve(0, &pod, &placement.node).unwrap());
                if self.depth == 0 {
                    self.came(&pod, nominated.is_some_and(|node| node != placement.node));
                }
            }
            Err(error) => {
                self.preempt(&pod, seed);
                if self.depth == 0 {
                    self.parked.retain(|(parked, _)| parked.uid != pod.uid);
                    self.parked.push((pod.clone(), error.plugins()));
                    let few = self.parked.len().saturating_sub(4);
                    self.parked.drain(..few);
                }
            }
        }
        self.decisions.push(decision);
    }

    /// The explanation refuses the nodes that the reference refuses, nominated pods and all, says of each at least what the
    /// reference says, and comes to the same totals.
    fn explained(&mut self, pod: &Arc<PodInfo>, seed: u64, decision: &Decision) {
        let explained = self.engine.explain(0, pod, seed);
        let verdicts = reference::verdicts(self.engine.view(), pod);
        assert_eq!(explained.nodes.len(), verdicts.len());
        for (node, (name, slow)) in explained.nodes.iter().zip(&verdicts) {
            let fast: Vec<&str> = node.refused.iter().map(|verdict| &*verdict.reason).collect();
            assert_eq!((&node.node, fast.is_empty()), (name, slow.is_empty()), "{fast:?} {slow:?}");
            assert!(slow.iter().all(|text| fast.contains(&&**text)), "{name}: {fast:?} leaves out some of {slow:?}");
        }
        let feasible = explained.nodes.iter().filter(|node| node.refused.is_empty()).count();
        let Ok(placement) = &decision.outcome else { return assert_eq!(feasible, 0) };
        let chosen = explained.nodes.iter().find(|node| node.node == *placement.node).unwrap();
        assert_eq!(chosen.total, Some(placement.score));
        // A pod that has a node nominated which will do is not compared with others.
        let wanted = self.engine.view().nomination(&pod.uid).map(|nominated| nominated.node.clone());
        if wanted.as_ref() != Some(&placement.node) {
            assert_eq!(feasible, placement.feasible);
            assert_eq!(explained.nodes.iter().filter_map(|node| node.total).max(), Some(placement.score));
        }
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
        self.depth += 1;
        acts.iter().for_each(|act| self.act(act));
        self.depth -= 1;
        self.engine.undo(mark);
        assert!(*self.engine.view() == *before.view(), "undo left another state");
    }
}

fn summed(reasons: Vec<(String, usize)>) -> std::collections::BTreeMap<String, usize> {
    let mut sums = std::collections::BTreeMap::new();
    reasons.into_iter().for_each(|(text, count)| *sums.entry(text).or_insert(0) += count);
    sums
}
