use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::schema::Schema;

fn place(kind: &str) -> Place<'static> {
    let group = if kind == "Deployment" { "apps" } else { "" };
    Place::Message(Schema::builtin().message_of(group, "v1", kind).unwrap())
}

fn manager(name: &str) -> Manager {
    Manager { name: name.to_owned(), applies: true, api_version: String::new(), subresource: String::new() }
}

fn apply(
    managers: &mut Managers,
    live: &Value,
    config: &Value,
    name: &str,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let reach = Reach { place: place("ConfigMap"), ignored: &[] };
    managers.apply(live, config, &reach, &manager(name), force, ("v1", "2026-01-01T00:00:00Z")).map(stored)
}

/// What storage makes of a config map: an empty map is not kept.
fn stored(mut object: Value) -> Value {
    if object["data"].as_object().is_none_or(|data| data.is_empty()) {
        object.as_object_mut().unwrap().remove("data");
    }
    object
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data})
}

#[test]
fn elements_of_lists_are_named_by_their_keys() {
    let pod = json!({"spec": {"containers": [{"name": "c", "args": ["a"], "ports": [{"containerPort": 80}]}]}});
    let set = fields(&pod, place("Pod"));
    let encoded = json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:args": {}, "f:name": {},
        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}});
    assert_eq!(set.encode(), encoded);
    assert_eq!(FieldSet::decode(&encoded), Some(set));
}

#[test]
fn a_conflict_names_manager_and_field() {
    let mut managers = Managers::default();
    let live = apply(&mut managers, &json!({}), &map(json!({"a": "1"})), "m1", false).unwrap();
    let conflicts = apply(&mut managers.clone(), &live, &map(json!({"a": "2"})), "m2", false).unwrap_err();
    assert_eq!(conflicts, [Conflict { manager: "\"m1\"".to_owned(), field: ".data.a".to_owned() }]);
    let forced = apply(&mut managers, &live, &map(json!({"a": "2"})), "m2", true).unwrap();
    assert_eq!(forced["data"], json!({"a": "2"}));
    assert_eq!(managers.0.keys().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["m2"]);
}

#[test]
fn an_update_takes_what_it_changes_and_no_more() {
    let mut managers = Managers::default();
    let live = apply(&mut managers, &json!({}), &map(json!({"a": "1", "b": "1"})), "m1", false).unwrap();
    let writer = Manager { applies: false, api_version: "v1".into(), ..manager("upd") };
    let reach = Reach { place: place("ConfigMap"), ignored: &[] };
    managers.update(&live, &map(json!({"a": "5", "b": "1"})), &reach, &writer, "2026-01-01T00:00:00Z");
    assert_eq!(managers.0[&manager("m1")].set.encode(), json!({"f:data": {"f:b": {}}}));
    assert_eq!(managers.0[&writer].set.encode(), json!({"f:data": {"f:a": {}}}));
}

#[test]
fn unknown_fields_and_wrong_types_are_refused() {
    let refuse = |config: Value, kind| check(&config, place(kind)).unwrap_err();
    assert_eq!(refuse(json!({"zzz": 1}), "ConfigMap"), ".zzz: field not declared in schema");
    assert_eq!(
        refuse(json!({"spec": {"replicas": "x"}}), "Deployment"),
        ".spec.replicas: expected numeric (int or float), got string"
    );
    let twice = json!({"spec": {"containers": [{"name": "c"}, {"name": "c"}]}});
    assert_eq!(refuse(twice, "Pod"), ".spec.containers: duplicate entries for key [name=\"c\"]");
}

#[test]
fn lists_keep_the_configurations_order() {
    let containers =
        |names: &[&str]| json!({"spec": {"containers": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()}});
    let merged = merge(&containers(&["a", "x", "b"]), &containers(&["b", "a"]), place("Pod"));
    let names: Vec<&str> =
        merged["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["x", "b", "a"]);
}

fn data() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-d]", "[0-3]", 0..4).prop_map(|data| json!(data))
}

proptest! {
    #[test]
    fn applying_twice_changes_nothing(first in data(), second in data()) {
        let mut managers = Managers::default();
        let live = apply(&mut managers, &json!({}), &map(first), "m1", true).unwrap();
        let once = apply(&mut managers, &live, &map(second.clone()), "m2", true).unwrap();
        let before = managers.clone();
        let twice = apply(&mut managers, &once, &map(second), "m2", true).unwrap();
        prop_assert_eq!(once, twice);
        prop_assert_eq!(before, managers);
    }

    #[test]
    fn disjoint_managers_commute(all in data(), split in proptest::collection::btree_set("[a-d]", 0..4)) {
        let part = |inside: bool| {
            let kept = all.as_object().unwrap().iter().filter(|(k, _)| split.contains(*k) == inside);
            // An empty map would be a claim on the map itself.
            stored(map(Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())))
        };
        let run = |order: [(&str, bool); 2]| {
            let mut managers = Managers::default();
            let mut live = json!({});
            for (name, inside) in order {
                live = apply(&mut managers, &live, &part(inside), name, false).unwrap();
            }
            let owned: Vec<(Manager, Value)> = managers.0.iter().map(|(m, managed)| (m.clone(), managed.set.encode())).collect();
            (live, owned)
        };
        prop_assert_eq!(run([("m1", true), ("m2", false)]), run([("m2", false), ("m1", true)]));
    }

    #[test]
    fn a_field_leaves_with_its_last_owner(first in data(), second in data()) {
        let mut managers = Managers::default();
        let live = apply(&mut managers, &json!({}), &map(first), "m1", false).unwrap();
        let live = apply(&mut managers, &live, &map(second.clone()), "m2", true).unwrap();
        let left = apply(&mut managers, &live, &stored(map(json!({}))), "m1", false).unwrap();
        prop_assert_eq!(left.get("data").and_then(Value::as_object).cloned().unwrap_or_default(), second.as_object().cloned().unwrap());
        let none = apply(&mut managers, &left, &stored(map(json!({}))), "m2", false).unwrap();
        prop_assert_eq!(none.get("data"), None);
    }
}
