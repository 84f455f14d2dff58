//! Pods with equal claims of devices are alike.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use orc_sched::plugins::DynamicResources;
use orc_sched::{Engine, Event, Profile};
use serde_json::json;

use crate::Counting;
use crate::common::{node, node_info};
use crate::devices::{CLAIMS, CLASSES, Models, SLICES, all, claim, engine, exactly, put, reserve, slice, told, using};

#[test]
fn pods_with_equal_claims_share_their_candidates() {
    let asked = Arc::new(AtomicUsize::new(0));
    let devices = DynamicResources::new(Arc::new(Models));
    let profile = Profile::empty("x").with(Counting(asked.clone()), 0).with(devices, 0);
    let mut engine = Engine::new(vec![profile]);
    put(&mut engine, CLASSES, &json!({"metadata": {"name": "gpu"}, "spec": {}}));
    for number in 0..200 {
        let name = format!("n{number}");
        engine.apply(&Event::Node(node_info(&node(&name, 4000, 4, 100))));
        put(&mut engine, SLICES, &slice(&name, &[("a", "x", 0), ("b", "x", 0)]));
    }
    for number in 0..50 {
        let name = format!("c{number}");
        put(&mut engine, CLAIMS, &claim(&name, exactly(1)));
        reserve(&mut engine, &using(&format!("p{number}"), &[&name]));
    }
    // The first pod asks about all nodes, each further one about the node that gave devices to the one before.
    assert_eq!(asked.load(SeqCst), 200 + 49);
    // A slice that is published anew costs its own node, and so does a device that is given back.
    put(&mut engine, SLICES, &slice("n7", &[("z", "x", 0)]));
    put(&mut engine, CLAIMS, &claim("other", exactly(1)));
    reserve(&mut engine, &using("q", &["other"]));
    assert!(asked.load(SeqCst) <= 200 + 49 + 2, "{}", asked.load(SeqCst));
}

#[test]
fn a_pod_is_told_the_names_of_its_own_claims() {
    let mut engine = engine(1);
    put(
        &mut engine,
        SLICES,
        &json!({"metadata": {"name": "s"}, "spec": {"driver": "d", "nodeName": "n1",
        "devices": [{"name": "a"}], "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1}}}),
    );
    let choosy = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 1,
        "selectors": [{"cel": {"expression": "model == x"}}]}}]});
    for name in ["one", "two"] {
        put(&mut engine, CLAIMS, &claim(name, choosy.clone()));
        let pod = using(&format!("pod-{name}"), &[name]);
        let error = "selector #0 on device d/n1/a: CEL runtime error: no such key: model";
        assert_eq!(told(&mut engine, &pod), all(1, &format!("claim default/{name}: {error}")));
        let explained = engine.explain(0, &pod, 1);
        assert_eq!(explained.nodes[0].refused[0].reason, format!("claim default/{name}: {error}"));
    }
}
