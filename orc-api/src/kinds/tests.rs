//! Tests across kinds: what holds for every strategy, and the rules that clients meet most.

use super::tree::*;
use super::{known, strategy};
use orc_core::validation::aggregate;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use serde_json::{Value, json};

const ALL: &[&str] = &[
    "pods",
    "namespaces",
    "nodes",
    "services",
    "endpoints",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "events",
    "persistentvolumes",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "podtemplates",
    "resourcequotas",
    "limitranges",
    "events.events.k8s.io",
    "endpointslices.discovery.k8s.io",
    "leases.coordination.k8s.io",
    "deployments.apps",
    "replicasets.apps",
    "daemonsets.apps",
    "statefulsets.apps",
    "controllerrevisions.apps",
    "jobs.batch",
    "cronjobs.batch",
    "horizontalpodautoscalers.autoscaling",
    "poddisruptionbudgets.policy",
    "priorityclasses.scheduling.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
    "networkpolicies.networking.k8s.io",
    "servicecidrs.networking.k8s.io",
    "ipaddresses.networking.k8s.io",
    "storageclasses.storage.k8s.io",
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
    "runtimeclasses.node.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "apiservices.apiregistration.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "resourceclaims.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io",
    "deviceclasses.resource.k8s.io",
    "resourceslices.resource.k8s.io",
];

fn pod() -> Value {
    json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

fn deployment() -> Value {
    json!({"metadata": {"name": "d", "namespace": "n"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }})
}

/// The object as it would be stored, and why it would not.
fn create(resource: &str, mut object: Value) -> (Value, String) {
    let rules = strategy(resource);
    rules.default(&mut object);
    rules.prepare_create(&mut object);
    let errors = rules.validate_create(&object);
    (object, if errors.is_empty() { String::new() } else { aggregate(&errors) })
}

#[test]
fn every_kind_survives_an_empty_object() {
    for resource in ALL {
        assert!(known(resource), "{resource}");
        let rules = strategy(resource);
        let mut object = json!({"metadata": {"name": "x"}});
        rules.default(&mut object);
        rules.prepare_create(&mut object);
        rules.default(&mut object);
        let once = object.clone();
        rules.default(&mut object);
        assert_eq!(object, once, "{resource}: defaulting is not idempotent");
        let _ = rules.validate_create(&object);
        let mut changed = object.clone();
        rules.prepare_update(&mut changed, &object, None);
        let _ = (rules.validate_update(&changed, &object, None), rules.warnings(&changed, Some(&object)));
    }
    assert!(!known("widgets.example.com"));
}

#[test]
fn an_unchanged_object_keeps_its_generation() {
    for (resource, object) in [("pods", pod()), ("deployments.apps", deployment())] {
        let (old, why) = create(resource, object);
        assert_eq!(why, "", "{resource}");
        assert_eq!(at(&old, "metadata.generation"), 1);
        let mut new = old.clone();
        put(ensure(ensure(&mut new, "metadata"), "labels"), "x", "y");
        put(&mut new, "status", json!({"observedGeneration": 7}));
        strategy(resource).prepare_update(&mut new, &old, None);
        assert_eq!(at(&new, "metadata.generation"), 1, "{resource}");
        assert!(same(get(&new, "status"), get(&old, "status")), "{resource}: status taken from the main resource");
    }
}

#[test]
fn a_changed_spec_moves_the_generation_and_a_status_write_takes_only_status() {
    let (old, _) = create("deployments.apps", deployment());
    let rules = strategy("deployments.apps");
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(3);
    let mut by_status = new.clone();
    rules.prepare_update(&mut new, &old, None);
    assert_eq!(at(&new, "metadata.generation"), 2);
    by_status["status"] = json!({"replicas": 1});
    rules.prepare_update(&mut by_status, &old, Some("status"));
    assert_eq!((at(&by_status, "spec.replicas"), at(&by_status, "status.replicas")), (&json!(1), &json!(1)));
    assert_eq!(at(&by_status, "metadata.generation"), 1);
}

#[test]
fn pods_are_filled_in() {
    let (stored, why) = create("pods", pod());
    assert_eq!(why, "");
    let container = &stored["spec"]["containers"][0];
    assert_eq!(text(container, "imagePullPolicy"), "IfNotPresent");
    assert_eq!(at(&stored, "status.qosClass"), "BestEffort");
    assert_eq!(at(&stored, "spec.terminationGracePeriodSeconds"), 30);
}

#[test]
fn limits_become_requests_and_decide_the_class() {
    let mut object = pod();
    object["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let (stored, why) = create("pods", object);
    assert_eq!(why, "");
    assert_eq!(stored["spec"]["containers"][0]["resources"]["requests"]["memory"], "1Gi");
    assert_eq!(at(&stored, "status.qosClass"), "Guaranteed");
}

#[test]
fn pods_change_little() {
    let (old, _) = create("pods", pod());
    let rules = strategy("pods");
    let change = |edit: fn(&mut Value)| {
        let mut new = old.clone();
        edit(&mut new);
        rules.prepare_update(&mut new, &old, None);
        aggregate(&rules.validate_update(&new, &old, None))
    };
    assert_eq!(change(|p| p["spec"]["containers"][0]["image"] = json!("i:2")), "[]");
    assert_eq!(change(|p| p["spec"]["activeDeadlineSeconds"] = json!(5)), "[]");
    let why = change(|p| p["spec"]["nodeName"] = json!("n1"));
    assert!(why.starts_with("spec: Forbidden: pod updates may not change fields other than"), "{why}");
}

#[test]
fn grace_follows_spec_node_and_request() {
    let (mut stored, _) = create("pods", pod());
    let rules = strategy("pods");
    assert_eq!(rules.graceful_delete(&stored, None), Some(0), "a pod on no node goes at once");
    stored["spec"]["nodeName"] = json!("n1");
    assert_eq!(rules.graceful_delete(&stored, None), Some(30));
    assert_eq!(rules.graceful_delete(&stored, Some(5)), Some(5));
    assert_eq!(rules.graceful_delete(&stored, Some(-1)), Some(1));
    assert_eq!(strategy("configmaps").graceful_delete(&stored, Some(5)), None);
}

#[test]
fn refusals_read_like_kubernetes() {
    for (resource, object, why) in [
        ("services", json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {}}), "spec.ports: Required value"),
        (
            "configmaps",
            json!({"metadata": {"name": "A", "namespace": "n"}}),
            "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must",
        ),
        (
            "namespaces",
            json!({"metadata": {"name": "a.b"}}),
            "metadata.name: Invalid value: \"a.b\": must not contain dots",
        ),
        (
            "leases.coordination.k8s.io",
            json!({"metadata": {"name": "l", "namespace": "n"}, "spec": {"leaseDurationSeconds": 0}}),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            "roles.rbac.authorization.k8s.io",
            json!({"metadata": {"name": "r", "namespace": "n"}, "rules": [{"apiGroups": [""], "resources": ["pods"]}]}),
            "rules[0].verbs: Required value: verbs must contain at least one value",
        ),
    ] {
        let (_, found) = create(resource, object);
        assert!(found.starts_with(why), "{resource}: {found}");
    }
}

#[test]
fn frozen_things_stay() {
    let (old, _) = create("deployments.apps", deployment());
    let mut new = old.clone();
    new["spec"]["selector"] = json!({"matchLabels": {"a": "c"}});
    new["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    let why = aggregate(&strategy("deployments.apps").validate_update(&new, &old, None));
    assert_eq!(why, "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable");
    let old = json!({"metadata": {"name": "c", "namespace": "n"}, "immutable": true, "data": {"a": "b"}});
    let mut new = old.clone();
    new["data"] = json!({"a": "c"});
    let why = aggregate(&strategy("configmaps").validate_update(&new, &old, None));
    assert_eq!(why, "data: Forbidden: field is immutable when `immutable` is set");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-zA-Z0-9./:_-]{0,12}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("name"),
        Just("ports"),
        Just("volumes"),
        Just("selector"),
        Just("resources"),
        Just("limits"),
        Just("strategy"),
        Just("rules"),
        Just("type"),
        Just("metadata"),
        Just("labels"),
        Just("status"),
        Just("subsets"),
        Just("affinity"),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..5)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Objects of any shape, as a client without a schema could send them, are refused or taken but never panic.
    #[test]
    fn no_object_panics(body in json_value(), old in json_value()) {
        for resource in ALL {
            let rules = strategy(resource);
            let (mut body, mut old) = (body.clone(), old.clone());
            for object in [&mut body, &mut old] {
                if !object.is_object() {
                    *object = json!({"spec": object.clone()});
                }
                rules.default(object);
            }
            let mut created = body.clone();
            rules.prepare_create(&mut created);
            let _ = (rules.validate_create(&created), rules.warnings(&created, None));
            for sub in [None, Some("status"), Some("resize"), Some("ephemeralcontainers")] {
                let mut new = body.clone();
                rules.prepare_update(&mut new, &old, sub);
                let _ = (rules.validate_update(&new, &old, sub), rules.selectable_fields(&new));
            }
        }
    }
}

#[test]
fn selecting_everything_differs_from_selecting_nothing() {
    assert!(!same(&json!({"podSelector": {}}), &json!({})));
    assert!(!same(&json!({"replicas": 0}), &json!({})));
    assert!(same(&json!({"args": [], "name": ""}), &json!({"x": null})));
}

#[test]
fn a_job_is_selected_by_its_uid() {
    let job = json!({"metadata": {"name": "j", "namespace": "n", "uid": "u-1"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let (stored, why) = create("jobs.batch", job);
    assert_eq!(why, "");
    assert_eq!(stored["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}));
    assert_eq!(stored["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
    assert_eq!(stored["metadata"]["labels"]["batch.kubernetes.io/controller-uid"], "u-1");
}
