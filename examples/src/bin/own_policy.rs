//! Own scheduling policy, no cluster: a plugin, an engine, a thousand nodes, ten thousand pods.
//!
//! `Home` prefers one zone; everything else is Kubernetes' default profile. `cargo run --release -p orc-examples --bin own_policy`

use orc_core::Name;
use orc_sched::plugin::MAX_SCORE;
use orc_sched::{
    Change, Engine, Event, Fragment, NodeInfo, NodeSet, Normal, Plugin, PodInfo, Prepared, Profile, Touched, View,
};
use std::{collections::BTreeMap, sync::Arc};

const ZONE: &str = "topology.kubernetes.io/zone";

struct Home(String);

impl Plugin for Home {
    fn name(&self) -> &'static str {
        "Home"
    }
    // Nothing of the pod is read, so nothing is written: all pods are alike to this plugin and share its scores.
    fn fragment(&self, _: &View, _: &PodInfo, _: &mut Fragment) {}
    fn prepare(&self, _: &View, _: &PodInfo) -> Prepared {
        Box::new(())
    }
    fn normal(&self, _: &Prepared) -> Option<Normal> {
        Some(Normal::None)
    }
    fn score(&self, _: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        for slot in nodes.iter() {
            let zone = view.node(slot).and_then(|node| node.labels.get(ZONE));
            out[slot] = if zone == Some(&self.0) { MAX_SCORE } else { 0 };
        }
    }
    // A score depends on the node's labels alone; nodes that change are always scored again.
    fn touched(&self, _: &mut Prepared, _: &View, _: &Change) -> Touched {
        Touched::None
    }
}

fn node(number: usize) -> NodeInfo {
    let zone = ["north", "south"][number % 2];
    let allocatable = [("cpu", 8_000), ("memory", 32 << 30), ("pods", 110)];
    NodeInfo {
        name: Name::new(format!("node-{number}")),
        labels: BTreeMap::from([(ZONE.to_owned(), zone.to_owned())]),
        allocatable: allocatable.map(|(name, amount)| (Name::new(name), amount)).into(),
        ..NodeInfo::default()
    }
}

fn pod(number: usize) -> anyhow::Result<Arc<PodInfo>> {
    let text = format!(
        r#"{{"metadata": {{"name": "pod-{number}", "namespace": "default", "uid": "{number}"}}, "spec": {{"containers":
           [{{"name": "main", "resources": {{"requests": {{"cpu": "500m", "memory": "1Gi"}}}}}}]}}}}"#
    );
    Ok(Arc::new(PodInfo::of(&serde_json::from_str(&text)?)))
}

fn main() -> anyhow::Result<()> {
    let mut engine = Engine::new(vec![Profile::default().with(Home("north".into()), 5)]);
    for number in 0..1_000 {
        engine.apply(&Event::Node(Arc::new(node(number))));
    }
    let (mut by_zone, mut refused) = (BTreeMap::<String, u32>::new(), 0);
    for number in 0..10_000 {
        let pod = pod(number)?;
        match engine.decide(0, &pod, number as u64).outcome {
            Ok(placement) => {
                let node = engine.view().node(placement.slot).expect("a placement names a node");
                *by_zone.entry(node.labels[ZONE].clone()).or_default() += 1;
                engine.assume(&pod, &placement.node);
            }
            Err(error) => {
                refused += 1;
                println!("{}: {error}", pod.key.name);
            }
        }
    }
    println!("placed {by_zone:?}, refused {refused}");
    Ok(())
}
