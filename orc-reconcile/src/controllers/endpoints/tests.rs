//! Plans of endpoints.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::json;

use super::legacy;
use super::slices::{Write, plan};

fn service() -> Service {
    serde_json::from_value(
        json!({"metadata": {"name": "s", "namespace": "d", "uid": "s"}, "spec": {"selector": {"a": "b"},
        "clusterIP": "10.96.0.1", "ports": [{"port": 80, "targetPort": "web"}]}}),
    )
    .unwrap()
}

fn pod(n: usize, ready: bool, port: u16) -> Arc<Pod> {
    let state = if ready { "True" } else { "False" };
    Arc::new(
        serde_json::from_value(json!({"metadata": {"name": format!("p{n}"), "namespace": "d", "uid": format!("u{n}")},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
        "status": {"phase": "Running", "podIP": format!("10.0.{}.{}", n / 200, n % 200),
            "conditions": [{"type": "Ready", "status": state}]}}))
        .unwrap(),
    )
}

fn slices(writes: &[Write]) -> Vec<EndpointSlice> {
    let created = writes.iter().enumerate().map(|(n, write)| match write {
        Write::Create(slice) => {
            let mut slice = EndpointSlice::clone(slice);
            (slice.metadata.uid, slice.metadata.name) = (Some(n.to_string()), Some(n.to_string()));
            slice
        }
        other => panic!("not a creation: {other:?}"),
    });
    created.collect()
}

#[test]
fn slices_hold_a_hundred_and_change_little() {
    let pods: Vec<_> = (0..250).map(|n| pod(n, true, 8080)).collect();
    let made: Vec<_> = slices(&plan(&service(), &pods, &[]).writes).into_iter().map(Arc::new).collect();
    let sizes: Vec<_> = made.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(made[0].ports.as_ref().unwrap()[0].port, Some(8080));
    assert!(plan(&service(), &pods, &made).writes.is_empty(), "what is right is not written");
    let fewer = plan(&service(), &pods[1..], &made).writes;
    assert!(matches!(&fewer[..], [Write::Replace(_)]), "one pod less changes one slice");
}

#[test]
fn pods_with_other_ports_are_in_other_slices_and_nothing_is_one_empty_slice() {
    let made = slices(&plan(&service(), &[pod(1, true, 1), pod(2, false, 2)], &[]).writes);
    assert_eq!(made.len(), 2);
    let unready = made[1].endpoints.as_ref().unwrap()[0].conditions.clone().unwrap();
    assert_eq!((unready.ready, unready.serving, unready.terminating), (Some(false), Some(false), Some(false)));
    let empty: Vec<_> = slices(&plan(&service(), &[], &[]).writes).into_iter().map(Arc::new).collect();
    assert_eq!(empty.len(), 1);
    assert!(plan(&service(), &[], &empty).writes.is_empty());
}

#[test]
fn endpoints_tell_ready_from_unready() {
    let pods = [pod(1, true, 1), pod(2, false, 1)];
    let [legacy::Write::Create(made)] = &legacy::plan(&service(), &pods, None).writes[..] else {
        panic!("no creation")
    };
    let subset = &made.subsets.as_ref().unwrap()[0];
    assert_eq!(subset.addresses.as_ref().unwrap()[0].ip, "10.0.0.1");
    assert_eq!(subset.not_ready_addresses.as_ref().unwrap()[0].ip, "10.0.0.2");
    assert!(legacy::plan(&service(), &pods, Some(made)).writes.is_empty());
}
