//! Device claims: allocation, and what waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::resource::v1::Device;
use orc_core::{Name, ObjectKey, ResourceId};
use orc_sched::plugin::Hint;
use orc_sched::plugins::{DeviceSelector, DeviceSelectors, DynamicResources};
use orc_sched::pod::PodInfo;
use orc_sched::{Engine, Event, Fact, FactKey, FactKind, Profile, Reservation, facts};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{node, node_info, pod, pod_info, with};

pub(crate) const CLAIMS: &str = "resourceclaims.resource.k8s.io";
pub(crate) const SLICES: &str = "resourceslices.resource.k8s.io";
pub(crate) const CLASSES: &str = "deviceclasses.resource.k8s.io";

/// Expressions of one form: `model == x`; anything else does not compile.
pub(crate) struct Models;
struct Model(String);

impl DeviceSelectors for Models {
    fn compile(&self, expression: &str) -> Result<Arc<dyn DeviceSelector>, String> {
        let model = expression.strip_prefix("model == ").ok_or("unknown form")?;
        Ok(Arc::new(Model(model.to_owned())))
    }
}

impl DeviceSelector for Model {
    fn matches(&self, _: &str, device: &Device) -> Result<bool, String> {
        let model = device.attributes.as_ref().and_then(|all| all.get("model")?.string.clone());
        model.map(|model| model == self.0).ok_or_else(|| "no such key: model".to_owned())
    }
}

pub(crate) fn engine(nodes: usize) -> Engine {
    let profile = Profile::default().instead(DynamicResources::new(Arc::new(Models)));
    let mut engine = Engine::new(vec![profile]);
    for number in 1..=nodes {
        engine.apply(&Event::Node(node_info(&node(&format!("n{number}"), 4000, 4, 100))));
    }
    put(&mut engine, CLASSES, &json!({"metadata": {"name": "gpu"}, "spec": {}}));
    engine
}

pub(crate) fn put(engine: &mut Engine, resource: &str, object: &Value) -> Vec<Hint> {
    let text = |field: &str| object["metadata"][field].as_str().map(Name::new);
    let key =
        ObjectKey { resource: ResourceId::parse(resource), namespace: text("namespace"), name: text("name").unwrap() };
    let (key, fact) = facts::of(&key, object).unwrap().unwrap();
    engine.apply(&Event::Fact(key, fact))
}

/// A slice of a node with devices of these names, models and sides.
pub(crate) fn slice(node: &str, devices: &[(&str, &str, i64)]) -> Value {
    let device = |(name, model, side): &(&str, &str, i64)| json!({"name": name, "attributes": {"model": {"string": model}, "side": {"int": side}}});
    let devices: Vec<Value> = devices.iter().map(device).collect();
    json!({"metadata": {"name": format!("slice-{node}")}, "spec": {"driver": "d", "nodeName": node, "devices": devices,
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1}}})
}

pub(crate) fn claim(name: &str, devices: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {"devices": devices}})
}

pub(crate) fn exactly(count: i64) -> Value {
    json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": count}}]})
}

pub(crate) fn using(name: &str, claims: &[&str]) -> Arc<PodInfo> {
    let all: Vec<Value> = claims.iter().map(|claim| json!({"name": claim, "resourceClaimName": claim})).collect();
    pod_info(&with(&pod(name, 100), json!({"spec": {"resourceClaims": all}})))
}

pub(crate) fn told(engine: &mut Engine, pod: &Arc<PodInfo>) -> String {
    let outcome = engine.decide(0, pod, 1).outcome;
    outcome.map_or_else(|error| error.to_string(), |placement| placement.node.to_string())
}

pub(crate) fn reserve(engine: &mut Engine, pod: &Arc<PodInfo>) -> Reservation {
    let node = engine.decide(0, pod, 1).outcome.unwrap().node;
    engine.reserve(0, pod, &node).unwrap()
}

/// The devices in a claim of a reservation, by name.
fn devices(reservation: &Reservation, claim: &str) -> Vec<String> {
    let found = reservation.facts.iter().find(|(key, _)| *key == FactKey::new(FactKind::DeviceClaim, "default", claim));
    let Some((_, fact)) = found else { return Vec::new() };
    let Fact::DeviceClaim(claim) = &**fact else { return Vec::new() };
    let allocation = claim.status.clone().unwrap().allocation.unwrap();
    allocation.devices.unwrap().results.unwrap().into_iter().map(|result| result.device).collect()
}

pub(crate) fn all(nodes: usize, text: &str) -> String {
    format!("0/{nodes} nodes are available: {nodes} {text}.")
}

#[test]
fn devices_are_given_once_and_taken_back() {
    let mut engine = engine(2);
    put(&mut engine, SLICES, &slice("n2", &[("a", "x", 0), ("b", "x", 0)]));
    put(&mut engine, CLAIMS, &claim("one", exactly(2)));
    put(&mut engine, CLAIMS, &claim("two", exactly(1)));
    let (first, second) = (using("first", &["one"]), using("second", &["two"]));
    let reservation = reserve(&mut engine, &first);
    assert_eq!((&*reservation.node, devices(&reservation, "one")), ("n2", vec!["a".to_owned(), "b".to_owned()]));
    let Fact::DeviceClaim(written) = &*reservation.facts[0].1 else { panic!("not a claim") };
    let status = written.status.clone().unwrap();
    assert_eq!(status.reserved_for.unwrap()[0].uid, "first");
    let place = status.allocation.unwrap().node_selector.unwrap();
    assert_eq!(place.node_selector_terms[0].match_fields.as_ref().unwrap()[0].values, Some(vec!["n2".to_owned()]));
    assert_eq!(written.metadata.finalizers, Some(vec!["resource.kubernetes.io/delete-protection".to_owned()]));
    assert_eq!(told(&mut engine, &second), all(2, "cannot allocate all claims"));
    assert!(engine.forget(&reservation));
    assert_eq!(told(&mut engine, &second), "n2");
}

#[test]
fn a_claim_of_two_pods_outlives_the_first() {
    let mut engine = engine(1);
    put(&mut engine, SLICES, &slice("n1", &[("a", "x", 0)]));
    put(&mut engine, CLAIMS, &claim("shared", exactly(1)));
    put(&mut engine, CLAIMS, &claim("other", exactly(1)));
    let first = reserve(&mut engine, &using("first", &["shared"]));
    let second = reserve(&mut engine, &using("second", &["shared"]));
    assert_eq!(devices(&second, "shared"), ["a"]);
    engine.forget(&first);
    assert_eq!(told(&mut engine, &using("third", &["other"])), all(1, "cannot allocate all claims"), "a is still used");
    engine.forget(&second);
    assert_eq!(told(&mut engine, &using("third", &["other"])), "n1");
}

#[test]
fn selectors_choose_and_alternatives_are_tried_in_order() {
    let mut engine = engine(1);
    put(&mut engine, SLICES, &slice("n1", &[("a", "x", 0), ("b", "y", 0), ("c", "y", 1)]));
    let of = |model: &str| json!([{"cel": {"expression": format!("model == {model}")}}]);
    let sub = |name: &str, model: &str| json!({"name": name, "deviceClassName": "gpu", "selectors": of(model)});
    let first = json!({"requests": [{"name": "r", "firstAvailable": [sub("big", "z"), sub("small", "y")]}]});
    put(&mut engine, CLAIMS, &claim("first", first));
    let made = reserve(&mut engine, &using("p", &["first"]));
    let Fact::DeviceClaim(written) = &*made.facts[0].1 else { panic!("not a claim") };
    let results = written.status.clone().unwrap().allocation.unwrap().devices.unwrap().results.unwrap();
    assert_eq!((&*results[0].request, &*results[0].device), ("r/small", "b"));
    put(
        &mut engine,
        CLASSES,
        &json!({"metadata": {"name": "bad"}, "spec": {"selectors": [{"cel": {"expression": "?"}}]}}),
    );
    let bad = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "bad"}}]});
    put(&mut engine, CLAIMS, &claim("bad", bad));
    let error = all(1, "class bad: selector #0: CEL compile error: unknown form");
    assert_eq!(told(&mut engine, &using("q", &["bad"])), error);
}

#[test]
fn all_devices_and_equal_attributes() {
    let mut engine = engine(2);
    put(&mut engine, SLICES, &slice("n1", &[("a", "x", 0), ("b", "x", 1)]));
    put(&mut engine, SLICES, &slice("n2", &[("c", "x", 0), ("d", "x", 1), ("e", "x", 1)]));
    let same = json!({"requests": exactly(2)["requests"], "constraints": [{"matchAttribute": "d/side"}]});
    put(&mut engine, CLAIMS, &claim("same", same));
    let made = reserve(&mut engine, &using("p", &["same"]));
    assert_eq!((&*made.node, devices(&made, "same")), ("n2", vec!["d".to_owned(), "e".to_owned()]));
    let every = json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "All"}}]});
    put(&mut engine, CLAIMS, &claim("every", every));
    let made = reserve(&mut engine, &using("q", &["every"]));
    assert_eq!((&*made.node, devices(&made, "every")), ("n1", vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn what_cannot_be_had_is_said() {
    let mut engine = engine(1);
    let refused = |engine: &mut Engine, name: &str, devices: Value, text: &str| {
        put(engine, CLAIMS, &claim(name, devices));
        assert_eq!(told(engine, &using("p", &[name])), all(1, text));
    };
    let of = |class: &str| json!({"requests": [{"name": "r", "exactly": {"deviceClassName": class}}]});
    refused(&mut engine, "a", of("none"), "request r: device class none does not exist");
    let limit = "claim default/b: number of requested devices 33 exceeds the claim limit of 32";
    refused(&mut engine, "b", exactly(33), limit);
    let mut half = slice("n1", &[("a", "x", 0)]);
    half["spec"]["pool"]["resourceSliceCount"] = json!(2);
    put(&mut engine, SLICES, &half);
    refused(&mut engine, "c", of("gpu"), "cannot allocate all claims");
    let mut tainted = slice("n1", &[("a", "x", 0)]);
    tainted["spec"]["devices"][0]["taints"] = json!([{"key": "k", "effect": "NoSchedule"}]);
    put(&mut engine, SLICES, &tainted);
    refused(&mut engine, "d", of("gpu"), "cannot allocate all claims");
    let mut tolerant = of("gpu");
    tolerant["requests"][0]["exactly"]["tolerations"] = json!([{"key": "k", "operator": "Exists"}]);
    put(&mut engine, CLAIMS, &claim("e", tolerant));
    assert_eq!(told(&mut engine, &using("p", &["e"])), "n1");
    let templated = json!({"spec": {"resourceClaims": [{"name": "x", "resourceClaimTemplateName": "t"}]}});
    let waiting = pod_info(&with(&pod("q", 100), templated.clone()));
    let text = "waiting for dynamic resource controller to create the resourceclaim";
    assert_eq!(told(&mut engine, &waiting), all(1, text));
    let made = json!({"status": {"resourceClaimStatuses": [{"name": "x", "resourceClaimName": "e"}]}});
    let other = pod_info(&with(&with(&pod("q", 100), templated), made));
    let text = "ResourceClaim default/e was not created for Pod default/q (pod is not owner)";
    assert_eq!(told(&mut engine, &other), all(1, text));
}

/// What brute force finds: whether devices (model, side, taken) hold `counts[i]` of model `i`, all of one side if asked.
fn possible(devices: &[(usize, i64, bool)], counts: &[usize], same: bool) -> bool {
    let on = |side: Option<i64>| {
        let count = |model: usize| {
            let fits = |d: &&(usize, i64, bool)| d.0 == model && !d.2 && side.is_none_or(|side| d.1 == side);
            devices.iter().filter(fits).count()
        };
        counts.iter().enumerate().all(|(model, wanted)| count(model) >= *wanted)
    };
    if same { [0, 1].into_iter().any(|side| on(Some(side))) } else { on(None) }
}

proptest! {
    #[test]
    fn devices_are_found_where_brute_force_finds_them(
        devices in prop::collection::vec((0usize..2, 0i64..2, any::<bool>()), 0..7),
        counts in prop::collection::vec(0usize..3, 2), same in any::<bool>(),
    ) {
        prop_assume!(counts.iter().any(|count| *count > 0));
        let mut engine = engine(1);
        let names: Vec<String> = (0..devices.len()).map(|at| format!("d{at}")).collect();
        let listed: Vec<(&str, &str, i64)> =
            devices.iter().zip(&names).map(|(d, name)| (&**name, ["x", "y"][d.0], d.1)).collect();
        put(&mut engine, SLICES, &slice("n1", &listed));
        let results: Vec<Value> = devices.iter().zip(&names).filter(|(d, _)| d.2)
            .map(|(_, name)| json!({"request": "r", "driver": "d", "pool": "n1", "device": name})).collect();
        let mut held = claim("held", exactly(1));
        held["status"] = json!({"allocation": {"devices": {"results": results}}});
        put(&mut engine, CLAIMS, &held);
        let request = |at: usize| json!({"name": format!("r{at}"), "exactly": {"deviceClassName": "gpu",
            "count": counts[at], "selectors": [{"cel": {"expression": format!("model == {}", ["x", "y"][at])}}]}});
        let requests: Vec<Value> = (0..2).filter(|at| counts[*at] > 0).map(request).collect();
        let constraints = if same { json!([{"matchAttribute": "d/side"}]) } else { json!([]) };
        put(&mut engine, CLAIMS, &claim("c", json!({"requests": requests, "constraints": constraints})));
        let pod = using("p", &["c"]);
        if !possible(&devices, &counts, same) {
            prop_assert_eq!(told(&mut engine, &pod), all(1, "cannot allocate all claims"));
            return Ok(());
        }
        let made = reserve(&mut engine, &pod);
        let given: Vec<usize> =
            self::devices(&made, "c").iter().map(|name| name[1..].parse().unwrap()).collect();
        prop_assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len(), "each once");
        prop_assert!(given.iter().all(|at| !devices[*at].2), "nobody's");
        for (model, wanted) in counts.iter().enumerate() {
            prop_assert_eq!(given.iter().filter(|at| devices[**at].0 == model).count(), *wanted);
        }
        let sides: BTreeSet<i64> = given.iter().map(|at| devices[*at].1).collect();
        prop_assert!(!same || sides.len() == 1);
    }
}
