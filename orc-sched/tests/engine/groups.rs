//! Groups that start whole, and take the place of others whole or not at all.

use std::sync::Arc;

use orc_sched::plugins::DynamicResources;
use orc_sched::{Engine, Event, GroupPreemption, PodInfo, PreemptionArgs, Profile};
use serde_json::json;

use crate::common::{node, node_info, pod, pod_info, with};
use crate::devices::{CLAIMS, CLASSES, Models, SLICES, claim, put, slice};
use crate::script::on_node;

/// Nodes of one CPU, each with a pod of low priority that takes nearly all of it.
fn full(nodes: usize) -> Engine {
    let mut engine = Engine::new(vec![Profile::default()]);
    for number in 0..nodes {
        let name = format!("n{number}");
        engine.apply(&Event::Node(node_info(&node(&name, 1000, 1, 10))));
        engine.apply(&Event::Pod(on_node(&pod_info(&pod(&format!("low-{number}"), 900)), &name)));
    }
    engine
}

fn members(count: usize, priority: i32, cpu: i64) -> Vec<Arc<PodInfo>> {
    let one = |number: usize| with(&pod(&format!("m{number}"), cpu), json!({"spec": {"priority": priority}}));
    (0..count).map(|number| pod_info(&one(number))).collect()
}

fn preempt(engine: &mut Engine, pods: &[Arc<PodInfo>], least: usize) -> Result<GroupPreemption, String> {
    let found = engine.preempt_group(0, pods, least, 7, &PreemptionArgs::default());
    assert_eq!(engine.view().all_placed().filter(|placed| placed.assumed).count(), 0, "looking changes nothing");
    found
}

fn victims(found: &GroupPreemption) -> Vec<String> {
    let all = found.members.iter().flat_map(|(_, found)| &found.plan.victims);
    let mut names: Vec<String> = all.map(|victim| victim.uid.to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_group_takes_as_many_places_as_it_needs() {
    let mut engine = full(4);
    let found = preempt(&mut engine, &members(3, 10, 500), 3).unwrap();
    assert_eq!((found.members.len(), victims(&found).len()), (3, 2), "two fit where one has left");
    // Members above the least take away nobody.
    let found = preempt(&mut engine, &members(4, 10, 900), 2).unwrap();
    assert_eq!((found.members.len(), victims(&found).len()), (2, 2));
}

#[test]
fn a_group_that_does_not_fit_as_a_whole_takes_nobodys_place() {
    let mut engine = full(2);
    let why = preempt(&mut engine, &members(3, 10, 900), 3).unwrap_err();
    assert!(why.starts_with("preemption: 0/2 nodes are available: "), "{why}");
    let equals = preempt(&mut engine, &members(2, 0, 900), 2).unwrap_err();
    assert_eq!(equals, "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.");
    let mut polite = members(2, 10, 900);
    polite[1] = Arc::new(PodInfo { preempts: false, ..PodInfo::clone(&polite[1]) });
    assert!(preempt(&mut engine, &polite, 2).unwrap_err().contains("preemptionPolicy=Never"));
    assert_eq!(preempt(&mut engine, &polite, 1).unwrap().members.len(), 1);
}

#[test]
fn the_members_of_a_group_get_devices_of_their_own() {
    let mut engine = Engine::new(vec![Profile::default().instead(DynamicResources::new(Arc::new(Models)))]);
    put(&mut engine, CLASSES, &json!({"metadata": {"name": "gpu"}, "spec": {}}));
    engine.apply(&Event::Node(node_info(&node("n1", 4000, 1, 10))));
    put(&mut engine, SLICES, &slice("n1", &[("a", "x", 0)]));
    let asking = |name: &str| {
        let claims = json!({"spec": {"resourceClaims": [{"name": "x", "resourceClaimName": name}]}});
        pod_info(&with(&pod(name, 100), claims))
    };
    for name in ["one", "two"] {
        let devices = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 1}}]});
        put(&mut engine, CLAIMS, &claim(name, devices));
    }
    let pods = [asking("one"), asking("two")];
    let why = engine.decide_group(0, &pods, 2, 1).unwrap_err();
    assert_eq!(why.to_string(), "0/1 nodes are available: 1 cannot allocate all claims.");
    assert_eq!(engine.decide_group(0, &pods, 1, 1).unwrap().len(), 1);
    put(&mut engine, SLICES, &slice("n1", &[("a", "x", 0), ("b", "x", 0)]));
    assert_eq!(engine.decide_group(0, &pods, 2, 1).unwrap().len(), 2);
    assert!(engine.decide(0, &pods[0], 1).outcome.is_ok(), "what was assumed in between was taken back");
}
