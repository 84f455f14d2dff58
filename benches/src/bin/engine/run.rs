//! One measurement: an engine, so many nodes, so many pods of one sort.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use orc_core::Name;
use orc_core::labels::Selector;
use orc_sched::{Engine, Event, Fact, FactKey, FactKind, NodeInfo, PodInfo, Profile};
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// What the pods want.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Resources only.
    Plain,
    /// A service means them, so that the system's defaults spread them over nodes and zones.
    Service,
    /// At most one more in a zone than in another.
    Spread,
    /// No two on a node.
    Apart,
    /// All in one zone.
    Near,
}

impl Shape {
    pub(crate) const ALL: [Self; 5] = [Self::Plain, Self::Service, Self::Spread, Self::Apart, Self::Near];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Service => "service",
            Self::Spread => "spread",
            Self::Apart => "apart",
            Self::Near => "near",
        }
    }

    fn spec(self) -> Value {
        let of_app = json!({"matchLabels": {"app": "web"}});
        let term = |key: &str| json!([{"topologyKey": key, "labelSelector": of_app}]);
        match self {
            Self::Plain | Self::Service => json!({}),
            Self::Spread => json!({"topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": of_app}]}),
            Self::Apart => {
                json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term(HOST)}}})
            }
            Self::Near => {
                json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term(ZONE)}}})
            }
        }
    }
}

fn node(number: usize) -> NodeInfo {
    let name = format!("node-{number}");
    let labels = [(HOST, name.clone()), (ZONE, format!("zone-{}", number % 3))];
    let allocatable = [("cpu", 32_000), ("memory", 128 << 30), ("pods", 110)];
    NodeInfo {
        name: Name::new(name),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        allocatable: allocatable.map(|(name, amount)| (Name::new(name), amount)).into(),
        ..NodeInfo::default()
    }
}

fn pods(shape: Shape, count: usize) -> anyhow::Result<Vec<Arc<PodInfo>>> {
    let mut spec = shape.spec();
    let requests = json!({"cpu": "250m", "memory": "500Mi"});
    spec["containers"] = json!([{"name": "main", "resources": {"requests": requests}}]);
    let labels = json!({"app": "web"});
    let metadata = json!({"name": "pod", "namespace": "default", "uid": "pod", "labels": labels});
    let first = PodInfo::of(&serde_json::from_value(json!({"metadata": metadata, "spec": spec}))?);
    let one = |number: usize| {
        let mut pod = first.clone();
        (pod.key.name, pod.uid) = (format!("pod-{number}").into(), format!("uid-{number}").into());
        Arc::new(pod)
    };
    Ok((0..count).map(one).collect())
}

/// Decides about equal pods one after another and assumes each. Returns decisions a second; the first decision, which asks
/// about every node, is not in the time.
pub(crate) fn decisions(shape: Shape, nodes: usize, count: usize) -> anyhow::Result<f64> {
    let mut engine = Engine::new(vec![Profile::default()]);
    for number in 0..nodes {
        engine.apply(&Event::Node(Arc::new(node(number))));
    }
    let namespace = FactKey::new(FactKind::Namespace, "", "default");
    engine.apply(&Event::Fact(namespace, Arc::new(Fact::Namespace(BTreeMap::new()))));
    if shape == Shape::Service {
        let selector = Selector::parse("app=web")?;
        let service = FactKey::new(FactKind::Service, "default", "web");
        engine.apply(&Event::Fact(service, Arc::new(Fact::Selecting(selector))));
    }
    let pods = pods(shape, count)?;
    let place = |engine: &mut Engine, number: usize| -> anyhow::Result<()> {
        let pod = &pods[number];
        let placement = engine.decide(0, pod, number as u64).outcome?;
        engine.assume(pod, &placement.node);
        Ok(())
    };
    // Terms that the first pods bring make their followers another sort of pod.
    let warm = count.min(3);
    for number in 0..warm {
        place(&mut engine, number)?;
    }
    let began = Instant::now();
    for number in warm..count {
        place(&mut engine, number)?;
    }
    Ok((count - warm) as f64 / began.elapsed().as_secs_f64())
}
