//! Tests of patches: small pieces of what a real server answered, and what must hold of any.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{PatchError, apply_json, apply_merge, apply_strategic, diff};
use crate::schema::{MessageRef, Schema};

fn deployment() -> MessageRef {
    Schema::builtin().message_of("apps", "v1", "Deployment").unwrap()
}

fn template(containers: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": containers}}}})
}

fn strategic(before: Value, patch: Value) -> Result<Value, PatchError> {
    let mut document = before;
    apply_strategic(&mut document, &patch, deployment())?;
    Ok(document)
}

fn two() -> Value {
    json!([{"name": "a", "image": "1", "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]}, {"name": "b", "image": "1"}])
}

#[test]
fn lists_merge_by_key() {
    let after = strategic(template(two()), template(json!([{"name": "b", "image": "9"}]))).unwrap();
    assert_eq!(after["spec"]["template"]["spec"]["containers"][1], json!({"name": "b", "image": "9"}));
    let after = strategic(template(two()), template(json!([{"name": "c", "image": "9"}]))).unwrap();
    let names: Vec<_> =
        after["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["c", "a", "b"], "new elements stand first, as upstream has it");
}

#[test]
fn elements_are_deleted_and_added() {
    let patch =
        template(json!([{"name": "a", "env": [{"name": "F", "$patch": "delete"}, {"name": "G", "value": "3"}]}]));
    let after = strategic(template(two()), patch).unwrap();
    let env = &after["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(*env, json!([{"name": "G", "value": "3"}, {"name": "E", "value": "1"}]));
}

#[test]
fn nulls_clear_union_members() {
    let patch = template(
        json!([{"name": "a", "env": [{"name": "E", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}]),
    );
    let after = strategic(template(two()), patch).unwrap();
    let env = &after["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(*env, json!({"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}));
}

#[test]
fn order_is_set() {
    let mut patch = template(json!([{"name": "b", "image": "z"}]));
    patch["spec"]["template"]["spec"]["$setElementOrder/containers"] = json!([{"name": "b"}, {"name": "a"}]);
    let after = strategic(template(two()), patch).unwrap();
    let containers = &after["spec"]["template"]["spec"]["containers"];
    assert_eq!((&containers[0], &containers[1]["name"]), (&json!({"name": "b", "image": "z"}), &json!("a")));

    let mut patch = template(json!([{"name": "n", "image": "z"}]));
    patch["spec"]["template"]["spec"]["$setElementOrder/containers"] = json!([{"name": "b"}]);
    assert!(matches!(strategic(template(two()), patch), Err(PatchError::Unmergeable(_))));
}

#[test]
fn scalars_merge_and_are_deleted() {
    let before = json!({"metadata": {"finalizers": ["a.io/1"]}});
    let after = strategic(before.clone(), json!({"metadata": {"finalizers": ["a.io/2", "a.io/1"]}})).unwrap();
    assert_eq!(after["metadata"]["finalizers"], json!(["a.io/2", "a.io/1"]));
    let after = strategic(after, json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.io/2"]}})).unwrap();
    assert_eq!(after, before);
}

#[test]
fn retain_keys_clears_the_rest() {
    let volumes = |v: Value| json!({"spec": {"template": {"spec": {"volumes": [v]}}}});
    let patch = json!({"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}});
    let after = strategic(volumes(json!({"name": "v", "emptyDir": {}})), volumes(patch)).unwrap();
    assert_eq!(after, volumes(json!({"name": "v", "hostPath": {"path": "/x"}})));
    let bad = json!({"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/x"}});
    assert!(matches!(strategic(volumes(json!({"name": "v"})), volumes(bad)), Err(PatchError::Malformed(_))));
}

#[test]
fn map_directives() {
    let before = || json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    let after = |directive: Value| strategic(before(), json!({"metadata": {"labels": directive}}));
    assert_eq!(after(json!({"$patch": "replace", "c": "3"})).unwrap(), json!({"metadata": {"labels": {"c": "3"}}}));
    assert_eq!(after(json!({"$patch": "delete"})).unwrap(), json!({"metadata": {"labels": {}}}));
    assert_eq!(after(json!({"a": null})).unwrap(), json!({"metadata": {"labels": {"b": "2"}}}));
    assert!(after(json!({"$patch": "zap"})).is_err());
    let untouched = strategic(json!({"metadata": {}}), json!({"metadata": {"labels": {"$patch": "zap"}}})).unwrap();
    assert_eq!(untouched, json!({"metadata": {"labels": {}}}));
}

#[test]
fn lists_are_replaced_where_atomic_or_told() {
    let tolerations = |v: Value| json!({"spec": {"template": {"spec": {"tolerations": v}}}});
    let after = strategic(tolerations(json!([{"key": "a"}])), tolerations(json!([{"key": "b"}]))).unwrap();
    assert_eq!(after, tolerations(json!([{"key": "b"}])));
    let after = strategic(template(two()), template(json!([{"$patch": "replace"}, {"name": "z"}]))).unwrap();
    assert_eq!(after, template(json!([{"name": "z"}])));
}

#[test]
fn a_missing_merge_key_is_named() {
    let error = strategic(template(two()), template(json!([{"image": "x"}]))).unwrap_err();
    assert_eq!(error.to_string(), "map: map[image:x] does not contain declared merge key: name");
}

#[test]
fn json_patches() {
    let mut document = json!({"data": {"a": "1", "b": "2"}});
    let patch = json!([{"op": "add", "path": "/data/c~1d", "value": "3"}, {"op": "remove", "path": "/data/b"}]);
    apply_json(&mut document, &patch).unwrap();
    assert_eq!(document, json!({"data": {"a": "1", "c/d": "3"}}));
    for (bad, malformed) in [
        (json!([{"op": "test", "path": "/data/a", "value": "nope"}]), false),
        (json!([{"op": "zap", "path": "/data"}]), false),
        (json!([{"op": "add", "path": "/data/x", "value": 1}, {"op": "remove", "path": "/nope"}]), false),
        (json!({"op": "add"}), true),
        (json!(["x"]), true),
    ] {
        let before = document.clone();
        let error = apply_json(&mut document, &bad).unwrap_err();
        assert_eq!((matches!(error, PatchError::Malformed(_)), &document), (malformed, &before), "{bad}");
    }
}

#[test]
fn merge_patches_of_the_rfc() {
    for (before, patch, after) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        let mut document = before;
        apply_merge(&mut document, &patch).unwrap();
        assert_eq!(document, after);
    }
    assert!(apply_merge(&mut json!({}), &json!([1])).is_err());
}

/// Trees without null members.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0i64..4).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", tree(), 0..5).prop_map(|m| Value::Object(m.into_iter().collect()))
}

/// Containers by unique name, with merged lists inside.
fn containers() -> impl Strategy<Value = Value> {
    let env = prop::collection::btree_map("[E-H]", "[0-9]", 0..4)
        .prop_map(|m| m.into_iter().map(|(n, v)| json!({"name": n, "value": v})).collect::<Vec<_>>());
    prop::collection::btree_map("[a-e]", ("[0-9]", env), 0..5).prop_map(|m| {
        template(m.into_iter().map(|(n, (image, env))| json!({"name": n, "image": image, "env": env})).collect())
    })
}

proptest! {
    #[test]
    fn a_difference_leads_to_the_new_tree(old in object(), new in object()) {
        let patch = diff(&old, &new);
        let mut document = old.clone();
        apply_merge(&mut document, &patch).unwrap();
        prop_assert_eq!(&document, &new);
        prop_assert_eq!(patch == json!({}), old == new);
    }

    #[test]
    fn an_empty_patch_changes_nothing(document in object(), pod in containers()) {
        let mut after = document.clone();
        apply_merge(&mut after, &json!({})).unwrap();
        apply_json(&mut after, &json!([])).unwrap();
        prop_assert_eq!(after, document);
        prop_assert_eq!(strategic(pod.clone(), json!({})).unwrap(), pod);
    }

    #[test]
    fn a_strategic_patch_twice_is_once(before in containers(), patch in containers()) {
        let once = strategic(before, patch.clone()).unwrap();
        prop_assert_eq!(strategic(once.clone(), patch).unwrap(), once);
    }

    #[test]
    fn hostile_patches_do_not_panic(before in object(), patch in object()) {
        let _ = strategic(json!({"spec": before.clone()}), json!({"spec": patch.clone(), "metadata": patch.clone()}));
        let _ = apply_json(&mut before.clone(), &json!([patch]));
    }
}

#[test]
fn a_test_for_null_holds_of_a_field_that_is_not_there() {
    let first = json!([{"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a"]}]);
    let mut object = json!({"metadata": {"name": "x"}});
    apply_json(&mut object, &first).unwrap();
    assert_eq!(object, json!({"metadata": {"name": "x", "finalizers": ["a"]}}));
    assert!(apply_json(&mut object, &first).is_err(), "it is there now");
    let far = json!([{"op": "add", "path": "/b", "value": 1}, {"op": "test", "path": "/no/where", "value": null}]);
    assert!(apply_json(&mut object, &far).is_err(), "the place it would be in is missing");
    assert!(object.get("b").is_none(), "on an error the document is as it was");
}

#[test]
fn copies_do_not_make_an_object_explode() {
    let mut document = json!({"a": "0123456789", "b": {}});
    let copies: Vec<Value> = (0..40).map(|n| json!({"op": "copy", "from": "", "path": format!("/b{n}")})).collect();
    let before = document.clone();
    let refused = apply_json(&mut document, &copies.into()).unwrap_err();
    let PatchError::Rejected { why } = refused else { panic!("{refused:?}") };
    assert!(why.starts_with("Unable to complete the copy, the accumulated size increase of copy is "), "{why}");
    assert_eq!(document, before);
}

#[test]
fn operations_do_not_nest_without_end() {
    for how in ["copy", "move"] {
        // Each puts all there is into its own deepest place, or the deepest into something new.
        let steps = (0..130).flat_map(|n| match how {
            "copy" => vec![json!({"op": "copy", "from": "/a", "path": format!("/a{}", "/a".repeat(n + 1))})],
            _ => vec![
                json!({"op": "add", "path": "/b", "value": {}}),
                json!({"op": "move", "from": "/a", "path": "/b/a"}),
                json!({"op": "move", "from": "/b", "path": "/a"}),
            ],
        });
        let mut document = json!({"a": {}});
        let refused = apply_json(&mut document, &steps.collect()).unwrap_err();
        assert!(matches!(refused, PatchError::Rejected { .. }), "{refused:?}");
        assert_eq!(document, json!({"a": {}}));
    }
}
