//! `pods/resize`: what containers ask for changes while they run, and nothing else does.
//!
//! Follows `ValidatePodResize` of upstream's core validation and `podResizeStrategy`.

use super::super::tree::*;
use super::{MIRROR, SPEC, keep_but_managers, qos};
use orc_core::validation::{FieldErrors, FieldPath};
use serde_json::Value;

const KINDS: [&str; 2] = ["initContainers", "containers"];

/// Takes the resources and resize policies of containers that are given under the names and in the order that the pod has; a
/// list with other containers is left as it was asked for, and refused by [`validate`].
pub(super) fn prepare(new: &mut Value, old: &Value) {
    let asked = get(new, "spec").clone();
    keep_but_managers(new, old);
    let spec = ensure(new, "spec");
    for kind in KINDS {
        let given = list(&asked, kind);
        if !in_order(given, list(spec, kind)) {
            put(spec, kind, given.to_vec());
            continue;
        }
        for (container, from) in items(spec, kind).zip(given) {
            for field in ["resources", "resizePolicy"] {
                super::super::rules::keep(container, from, field);
            }
        }
    }
}

fn in_order(now: &[Value], then: &[Value]) -> bool {
    now.len() == then.len() && now.iter().zip(then).all(|(now, then)| text(now, "name") == text(then, "name"))
}

/// Checks the change.
pub(super) fn validate(new: &Value, old: &Value, e: &mut FieldErrors) {
    let (spec, was) = (get(new, "spec"), get(old, "spec"));
    let whole = FieldPath::new("");
    if has(at(old, "metadata.annotations"), MIRROR) {
        return e.forbidden(&whole, "static pods cannot be resized");
    }
    if text(get(was, "os"), "name") == "windows" {
        return e.forbidden(&whole, "windows pods cannot be resized");
    }
    let class = match text(get(old, "status"), "qosClass") {
        "" => qos(old),
        class => class,
    };
    if class != qos(new) {
        e.invalid(&SPEC, qos(new), "Pod QOS Class may not change as a result of resizing");
    }
    if !is_supported(old) {
        e.forbidden(&SPEC, "Pod running on node without support for resize");
    }
    if KINDS.iter().filter(|kind| reordered(list(spec, kind), list(was, kind), kind, e)).count() > 0 {
        return;
    }
    for kind in KINDS {
        for (i, (container, before)) in list(spec, kind).iter().zip(list(was, kind)).enumerate() {
            let path = SPEC.child(kind);
            removed(container, before, &path.index(i), e);
        }
    }
    for (container, before) in list(spec, "containers").iter().zip(list(was, "containers")) {
        if others_changed(container, before) {
            e.forbidden(&SPEC, "only cpu and memory resources are mutable");
        }
    }
    for (i, (container, before)) in list(spec, "initContainers").iter().zip(list(was, "initContainers")).enumerate() {
        initial(container, before, &SPEC.child("initContainers").index(i), e);
    }
}

/// A node that can resize says what its containers have; where none runs yet, nobody knows.
fn is_supported(pod: &Value) -> bool {
    let running = list(get(pod, "status"), "containerStatuses").iter().find(|c| has(get(c, "state"), "running"));
    running.is_none_or(|container| has(container, "resources"))
}

/// Tells of containers that are not in their places.
fn reordered(now: &[Value], then: &[Value], kind: &str, e: &mut FieldErrors) -> bool {
    let path = SPEC.child(kind);
    if now.len() != then.len() {
        e.forbidden(&path, format!("{kind} may not be added or removed on resize"));
        return true;
    }
    for (i, (now, then)) in now.iter().zip(then).enumerate() {
        if text(now, "name") != text(then, "name") {
            e.forbidden(&path.index(i).child("name"), format!("{kind} may not be renamed or reordered on resize"));
        }
    }
    !in_order(now, then)
}

fn removed(container: &Value, before: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    let path = path.child("resources");
    for side in ["requests", "limits"] {
        let now = get(get(container, "resources"), side);
        if entries(get(before, "resources"), side).any(|(name, _)| !has(now, name)) {
            e.forbidden(&path.child(side), format!("resource {side} cannot be removed"));
        }
    }
}

/// Whether a resource beside CPU and memory differs.
fn others_changed(container: &Value, before: &Value) -> bool {
    ["requests", "limits"].into_iter().any(|side| {
        let others = |of: &Value| {
            let all = entries(get(of, "resources"), side).filter(|(name, _)| !["cpu", "memory"].contains(name));
            all.map(|(name, amount)| (name.to_owned(), amount.clone())).collect::<Vec<_>>()
        };
        others(container) != others(before)
    })
}

/// Containers that run first: sidecars as others, and those that end unless a resize would start them again.
fn initial(container: &Value, before: &Value, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if others_changed(container, before) {
        e.forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable");
    }
    let restarts = |policy: &Value| text(policy, "restartPolicy") == "RestartContainer";
    let sidecar = text(container, "restartPolicy") == "Always";
    if !same(container, before) && !sidecar && list(container, "resizePolicy").iter().any(restarts) {
        e.forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: Value) -> Value {
        json!({"spec": {"containers": containers}, "status": {"qosClass": "Burstable"}})
    }

    fn container(name: &str, requests: Value) -> Value {
        json!({"name": name, "resources": {"requests": requests}})
    }

    fn told(old: &Value, containers: Value) -> Vec<String> {
        let mut new = old.clone();
        new["spec"]["containers"] = containers;
        new["spec"]["nodeName"] = json!("elsewhere");
        prepare(&mut new, old);
        assert_eq!(new["spec"]["nodeName"], Value::Null, "only containers count");
        let mut errors = FieldErrors::new();
        validate(&new, old, &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn cpu_and_memory_change_and_nothing_else() {
        let old =
            pod(json!([container("a", json!({"cpu": "1", "memory": "1Gi"})), container("b", json!({"cpu": "1"}))]));
        let of = |first: Value| json!([container("a", first), container("b", json!({"cpu": "1"}))]);
        assert_eq!(told(&old, of(json!({"cpu": "2", "memory": "2Gi"}))), [""; 0]);
        assert_eq!(
            told(&old, of(json!({"cpu": "2"}))),
            ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]
        );
        assert_eq!(
            told(&old, of(json!({"cpu": "1", "memory": "1Gi", "x.io/gpu": "1"}))),
            ["spec: Forbidden: only cpu and memory resources are mutable"]
        );
        let mut turned = of(json!({"cpu": "1", "memory": "1Gi"}));
        turned.as_array_mut().unwrap().reverse();
        assert_eq!(
            told(&old, turned),
            [
                "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
                "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize"
            ]
        );
        assert_eq!(
            told(&old, json!([container("a", json!({"cpu": "1", "memory": "1Gi"}))])),
            ["spec.containers: Forbidden: containers may not be added or removed on resize"]
        );
    }

    #[test]
    fn the_class_stays_and_the_node_must_be_able_to() {
        let mut old = pod(json!([container("a", json!({"cpu": "1"}))]));
        let same = old["spec"]["containers"].clone();
        old["status"]["containerStatuses"] = json!([{"name": "a", "state": {"running": {}}}]);
        assert_eq!(told(&old, same.clone()), ["spec: Forbidden: Pod running on node without support for resize"]);
        old["status"]["containerStatuses"][0]["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(told(&old, same.clone()), [""; 0]);
        old["status"]["qosClass"] = json!("BestEffort");
        assert_eq!(
            told(&old, same.clone()),
            ["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"]
        );
        old["metadata"] = json!({"annotations": {MIRROR: "x"}});
        assert_eq!(told(&old, same).len(), 1);
    }
}
