//! Storage, images and devices.

use std::sync::Arc;

use orc_core::{Name, ObjectKey, ResourceId};
use orc_sched::pod::PodInfo;
use orc_sched::{Engine, Event, FactKey, FactKind, Profile, facts};
use serde_json::{Value, json};

use crate::common::{node, node_info, pod, pod_info, with};

/// An engine with two nodes in two zones, and objects by resource.
fn engine(objects: &[(&str, Value)]) -> Engine {
    let mut engine = Engine::new(vec![Profile::default()]);
    for (name, zone) in [("n1", "a"), ("n2", "b")] {
        let labels = json!({"metadata": {"labels": {"zone": zone, "topology.kubernetes.io/zone": zone}}});
        engine.apply(&Event::Node(node_info(&with(&node(name, 4000, 4, 10), labels))));
    }
    objects.iter().for_each(|(resource, object)| put(&mut engine, resource, object));
    engine
}

fn put(engine: &mut Engine, resource: &str, object: &Value) {
    let text = |field: &str| object["metadata"][field].as_str().map(Name::new);
    let key =
        ObjectKey { resource: ResourceId::parse(resource), namespace: text("namespace"), name: text("name").unwrap() };
    let (key, fact) = facts::of(&key, object).unwrap().unwrap();
    engine.apply(&Event::Fact(key, fact));
}

fn claim(name: &str, spec: Value) -> (&'static str, Value) {
    let mut claim = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}, "storageClassName": "late"}});
    for (key, value) in spec.as_object().unwrap() {
        claim["spec"][key] = value.clone();
    }
    if spec.get("volumeName").is_some() {
        claim["metadata"]["annotations"] = json!({"pv.kubernetes.io/bind-completed": "yes"});
    }
    ("persistentvolumeclaims", claim)
}

fn volume(name: &str, zone: &str, size: &str) -> (&'static str, Value) {
    let on = json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]}]);
    let spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "storageClassName": "late",
        "csi": {"driver": "disk", "volumeHandle": name}, "nodeAffinity": {"required": {"nodeSelectorTerms": on}}});
    ("persistentvolumes", json!({"metadata": {"name": name}, "spec": spec}))
}

fn class(provisioner: &str) -> (&'static str, Value) {
    let class =
        json!({"metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"});
    ("storageclasses.storage.k8s.io", class)
}

fn using(name: &str, claims: &[&str]) -> Arc<PodInfo> {
    let volumes: Vec<Value> =
        claims.iter().map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}})).collect();
    pod_info(&with(&pod(name, 100), json!({"spec": {"volumes": volumes}})))
}

fn told(engine: &mut Engine, pod: &Arc<PodInfo>) -> String {
    let outcome = engine.decide(0, pod, 1).outcome;
    outcome.map_or_else(|error| error.to_string(), |placement| placement.node.to_string())
}

#[test]
fn a_bound_volume_says_where() {
    let mut engine = engine(&[claim("c", json!({"volumeName": "v"})), volume("v", "b", "5Gi")]);
    assert_eq!(told(&mut engine, &using("p", &["c"])), "n2");
    put(&mut engine, "persistentvolumes", &volume("v", "c", "5Gi").1);
    assert_eq!(
        told(&mut engine, &using("p", &["c"])),
        "0/2 nodes are available: 2 node(s) had volume node affinity conflict."
    );
}

#[test]
fn claims_that_cannot_be_had_keep_the_pod_waiting() {
    let mut engine = engine(&[claim("now", json!({"storageClassName": "none"}))]);
    let all = |text: &str| format!("0/2 nodes are available: 2 {text}.");
    assert_eq!(told(&mut engine, &using("p", &["gone"])), all("persistentvolumeclaim \"gone\" not found"));
    assert_eq!(told(&mut engine, &using("p", &["now"])), all("pod has unbound immediate PersistentVolumeClaims"));
    put(&mut engine, "persistentvolumes", &volume("v", "b", "5Gi").1);
    let mut named = claim("now", json!({"volumeName": "v"})).1;
    let annotations = named["metadata"]["annotations"].take();
    put(&mut engine, "persistentvolumeclaims", &named);
    let unbound = all("pod has unbound immediate PersistentVolumeClaims");
    assert_eq!(told(&mut engine, &using("p", &["now"])), unbound, "the binder has not said so yet");
    named["metadata"]["annotations"] = annotations;
    put(&mut engine, "persistentvolumeclaims", &named);
    assert_eq!(told(&mut engine, &using("p", &["now"])), "n2");
}

#[test]
fn a_volume_is_given_once_and_taken_back() {
    let mut engine = engine(&[
        class("kubernetes.io/no-provisioner"),
        volume("small", "b", "1Gi"),
        volume("large", "b", "9Gi"),
        claim("one", json!({})),
        claim("two", json!({})),
    ]);
    let (first, second) = (using("first", &["one"]), using("second", &["two"]));
    let node = engine.decide(0, &first, 1).outcome.unwrap().node;
    assert_eq!(node, "n2", "the small one is too small, the large one is there");
    let reservation = engine.reserve(0, &first, &node).unwrap();
    assert_eq!(reservation.facts[0].0, FactKey::new(FactKind::Volume, "", "large"));
    let none = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.";
    assert_eq!(told(&mut engine, &second), none);
    // News from before do not give it away again.
    put(&mut engine, "persistentvolumes", &volume("large", "b", "8Gi").1);
    assert_eq!(told(&mut engine, &second), none);
    assert!(engine.forget(&reservation));
    assert_eq!(told(&mut engine, &second), "n2");
}

#[test]
fn a_volume_that_is_made_is_asked_for_on_the_node() {
    let mut engine = engine(&[class("disk"), claim("c", json!({}))]);
    let pod = using("p", &["c"]);
    let node = engine.decide(0, &pod, 1).outcome.unwrap().node;
    let reservation = engine.reserve(0, &pod, &node).unwrap();
    assert_eq!(reservation.facts[0].0, FactKey::new(FactKind::Claim, "default", "c"));
    engine.forget(&reservation);
    let mut selected = claim("c", json!({})).1;
    selected["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": "n2"});
    put(&mut engine, "persistentvolumeclaims", &selected);
    assert_eq!(told(&mut engine, &pod), "n2");
}

#[test]
fn limits_and_lone_claims_and_zones() {
    let limit = json!({"metadata": {"name": "n2"}, "spec": {"drivers": [
        {"name": "disk", "nodeID": "x", "allocatable": {"count": 1}}]}});
    let mut labelled = volume("w", "b", "5Gi").1;
    labelled["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": "a"});
    let mut engine = engine(&[
        ("csinodes.storage.k8s.io", limit),
        claim("c", json!({"volumeName": "v"})),
        claim("d", json!({"volumeName": "u"})),
        claim("e", json!({"volumeName": "w"})),
        claim("lone", json!({"volumeName": "u", "accessModes": ["ReadWriteOncePod"]})),
        volume("v", "b", "5Gi"),
        volume("u", "b", "5Gi"),
        ("persistentvolumes", labelled),
    ]);
    engine.assume(&using("first", &["c"]), &"n2".into());
    assert_eq!(told(&mut engine, &using("same", &["c"])), "n2", "the same volume is attached once");
    let full =
        "0/2 nodes are available: 1 node(s) exceed max volume count, 1 node(s) had volume node affinity conflict.";
    assert_eq!(told(&mut engine, &using("other", &["d"])), full);
    engine.apply(&Event::PodGone("first".into()));
    assert_eq!(told(&mut engine, &using("other", &["d"])), "n2");
    engine.assume(&using("alone", &["lone"]), &"n2".into());
    let taken = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
    assert_eq!(told(&mut engine, &using("another", &["lone"])), format!("0/2 nodes are available: 2 {taken}."));
    engine.apply(&Event::PodGone("alone".into()));
    assert_eq!(told(&mut engine, &using("another", &["lone"])), "n2");
    let zone =
        "0/2 nodes are available: 1 node(s) had no available volume zone, 1 node(s) had volume node affinity conflict.";
    assert_eq!(told(&mut engine, &using("far", &["e"])), zone);
}

#[test]
fn nodes_with_the_images_are_preferred() {
    let mut engine = engine(&[]);
    let image = json!({"status": {"images": [{"names": ["web:1"], "sizeBytes": 2_000_000_000_u64}]}});
    let second = with(&node("n2", 4000, 4, 10), image);
    engine.apply(&Event::Node(node_info(&second)));
    let web = with(&pod("p", 100), json!({"spec": {"containers": [{"name": "a", "image": "web:1"}]}}));
    for seed in 0..4 {
        assert_eq!(engine.decide(0, &pod_info(&web), seed).outcome.unwrap().node, "n2");
    }
}

#[test]
fn devices_that_are_allocated_say_where_and_others_wait() {
    let claim = json!({"metadata": {"name": "gpu", "namespace": "default"}, "spec": {}, "status": {"allocation": {
        "nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}]}}}});
    let mut engine = engine(&[("resourceclaims.resource.k8s.io", claim)]);
    let asking = |name: &str| {
        let spec = json!({"spec": {"resourceClaims": [{"name": "x", "resourceClaimName": name}]}});
        pod_info(&with(&pod("p", 100), spec))
    };
    assert_eq!(told(&mut engine, &asking("gpu")), "n2");
    assert!(told(&mut engine, &asking("none")).contains("resourceclaim \"none\" not found"));
}
