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

fn reach() -> Reach<'static> {
    Reach { place: place("ConfigMap"), api_version: "v1", ignored: &[], versions: &OneVersion }
}

fn apply(
    managers: &mut Managers,
    live: &Value,
    config: &Value,
    name: &str,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    match managers.apply(live, config, &reach(), &manager(name), force, "2026-01-01T00:00:00Z") {
        Ok(object) => Ok(stored(object)),
        Err(Halt::Conflicts(conflicts)) => Err(conflicts),
        Err(Halt::Needed(needed)) => panic!("there is one version only: {needed:?}"),
    }
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
    managers.update(&live, &map(json!({"a": "5", "b": "1"})), &reach(), &writer, "2026-01-01T00:00:00Z").unwrap();
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

/// A kind whose `v2` calls `data.x` of `v1` by the name `data.y`; it converts only what it was told of when it is slow.
#[derive(Debug, Default)]
struct Renamed {
    slow: bool,
}

impl Versions for Renamed {
    fn place(&self, api_version: &str) -> Option<Place<'_>> {
        ["v1", "v2"].contains(&api_version).then(|| place("ConfigMap"))
    }

    fn convert(&self, object: &Value, to: &str) -> Result<Option<Value>, Needed> {
        if self.slow {
            return Err(Needed { object: Box::new(object.clone()), to: to.to_owned() });
        }
        let mut object = object.clone();
        object["apiVersion"] = to.into();
        let (from, name) = if to == "v2" { ("x", "y") } else { ("y", "x") };
        if let Some(data) = object["data"].as_object_mut()
            && let Some(value) = data.remove(from)
        {
            data.insert(name.to_owned(), value);
        }
        Ok(Some(object))
    }
}

fn of(api_version: &str, data: Value) -> Value {
    let mut object = map(data);
    object["apiVersion"] = api_version.into();
    object
}

#[test]
fn a_manager_of_another_version_loses_what_changes_there() {
    let versions = Renamed::default();
    let reach = |api_version| Reach { api_version, versions: &versions, ..reach() };
    let mut managers = Managers::default();
    let live = of("v1", json!({"x": "1", "b": "1"}));
    managers.apply(&json!({}), &live, &reach("v1"), &manager("m1"), false, "t").unwrap();
    let live = versions.convert(&live, "v2").unwrap().unwrap();
    // Another field: nothing is lost, though v2 has no `x`.
    let next = of("v2", json!({"y": "1", "b": "2"}));
    let writer = Manager { applies: false, api_version: "v2".into(), ..manager("upd") };
    managers.update(&live, &next, &reach("v2"), &writer, "t").unwrap();
    assert_eq!(managers.0[&manager("m1")].set.encode(), json!({"f:data": {"f:x": {}}}));
    assert_eq!(managers.0[&writer].set.encode(), json!({"f:data": {"f:b": {}}}));
    // Who applies `y` in v2 meets the manager of `x` in v1.
    let wanted = of("v2", json!({"y": "5"}));
    let halt = managers.clone().apply(&next, &wanted, &reach("v2"), &manager("m2"), false, "t").unwrap_err();
    let conflict = Conflict { manager: "\"m1\"".to_owned(), field: ".data.x".to_owned() };
    assert_eq!(halt, Halt::Conflicts(vec![conflict]));
}

#[test]
fn an_applier_that_goes_over_to_another_version_takes_out_what_it_held() {
    let versions = Renamed::default();
    let reach = |api_version| Reach { api_version, versions: &versions, ..reach() };
    let mut managers = Managers::default();
    let live = of("v1", json!({"x": "1", "b": "1", "c": "1"}));
    managers.apply(&json!({}), &live, &reach("v1"), &manager("m1"), false, "t").unwrap();
    managers.apply(&live, &of("v1", json!({"c": "1"})), &reach("v1"), &manager("m2"), false, "t").unwrap();
    let live = versions.convert(&live, "v2").unwrap().unwrap();
    let left = managers.apply(&live, &of("v2", json!({"b": "1"})), &reach("v2"), &manager("m1"), false, "t").unwrap();
    assert_eq!(left, of("v2", json!({"b": "1", "c": "1"})));
    assert_eq!(managers.0[&manager("m1")].api_version, "v2");
    assert_eq!(managers.0[&manager("m2")].set.encode(), json!({"f:data": {"f:c": {}}}));
}

#[test]
fn unknown_versions_are_dropped_and_conversions_are_asked_for() {
    let mut managers = Managers::default();
    let live = of("v1", json!({"a": "1"}));
    managers.apply(&json!({}), &live, &reach(), &manager("m1"), false, "t").unwrap();
    let writer = Manager { applies: false, api_version: "v2".into(), ..manager("upd") };
    let (old, new) = (of("v2", json!({"a": "1"})), of("v2", json!({"a": "2"})));
    let slow = Renamed { slow: true };
    let asked = Reach { api_version: "v2", versions: &slow, ..reach() };
    let needed = managers.clone().update(&old, &new, &asked, &writer, "t").unwrap_err();
    assert_eq!(needed, Needed { object: Box::new(old.clone()), to: "v1".to_owned() });
    let alone = Reach { api_version: "v2", ..reach() };
    managers.update(&old, &new, &alone, &writer, "t").unwrap();
    assert_eq!(managers.0.keys().collect::<Vec<_>>(), [&writer]);
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
