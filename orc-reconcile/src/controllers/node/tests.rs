//! Plans of nodes.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use serde_json::json;

use super::eviction::{Seen, due};
use super::{Write, key_of};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn node() -> Node {
    serde_json::from_value(
        json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    )
    .unwrap()
}

fn plan(
    node: &Node,
    on_node: &[Arc<Pod>],
    heard_at: Timestamp,
    now: Timestamp,
) -> super::super::support::Plan<Write, ()> {
    super::plan(node, on_node, heard_at, &super::taints(node), now)
}

#[test]
fn a_silent_node_is_marked_tainted_and_left() {
    let pod = |tolerations| -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": "p", "uid": "p"}, "spec": {"containers": [],
            "tolerations": tolerations}, "status": {"phase": "Running"}}))
            .unwrap(),
        )
    };
    let calm = plan(&node(), &[], at(0), at(39));
    assert!(calm.writes.is_empty());
    assert_eq!(calm.wake, Some(at(40)));
    let [Write::Status(marked)] = &plan(&node(), &[], at(0), at(40)).writes[..] else { panic!("no status") };
    let ready = super::health::condition(marked, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("Unknown", Some("NodeStatusUnknown")));
    let [Write::Taint(tainted)] = &plan(marked, &[], at(0), at(41)).writes[..] else { panic!("no taint") };
    assert_eq!(super::taints(tainted).len(), 2);
    let patient = pod(json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": 300}]));
    let waiting = plan(tainted, std::slice::from_ref(&patient), at(0), at(42));
    assert_eq!((waiting.writes.len(), waiting.wake), (0, Some(at(341))));
    assert_eq!(plan(tainted, std::slice::from_ref(&patient), at(0), at(341)).writes, [Write::Evict(patient)]);
    let impatient = pod(json!([]));
    assert_eq!(plan(tainted, std::slice::from_ref(&impatient), at(0), at(42)).writes, [Write::Evict(impatient)]);
    let mut back = Node::clone(tainted);
    back.status = node().status;
    let [Write::Taint(clean)] = &plan(&back, &[], at(50), at(51)).writes[..] else { panic!("no taint") };
    assert!(super::taints(clean).is_empty());
}

fn patient(status: serde_json::Value) -> Pod {
    let toleration = json!({"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3});
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "tolerations": [toleration]},
        "status": status}))
    .unwrap()
}

#[test]
fn a_taint_without_a_time_counts_from_when_it_was_first_seen() {
    let (seen, node) = (Seen::default(), key_of("n".into()));
    let taints: Vec<Taint> = serde_json::from_value(json!([{"key": "gone", "effect": "NoExecute"}])).unwrap();
    let due_at = |now: i64| due(&patient(json!({})), &seen.dated(&node, taints.clone(), at(now)), at(now));
    assert_eq!((due_at(10), due_at(12), due_at(13)), (Some(at(13)), Some(at(13)), Some(at(13))));
    // Taken away and put back, it starts anew.
    assert!(seen.dated(&node, Vec::new(), at(14)).is_empty());
    assert_eq!(due_at(15), Some(at(18)));
    let dated: Vec<Taint> =
        serde_json::from_value(json!([{"key": "gone", "effect": "NoExecute", "timeAdded": at(7)}])).unwrap();
    assert_eq!(seen.dated(&node, dated.clone(), at(16)), dated, "a time of its own counts");
}

#[test]
fn a_pod_that_comes_to_a_node_tainted_long_ago_has_all_of_its_time() {
    let taints: Vec<Taint> =
        serde_json::from_value(json!([{"key": "gone", "effect": "NoExecute", "timeAdded": at(0)}])).unwrap();
    let bound = json!({"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": at(100)}]});
    assert_eq!(due(&patient(bound), &taints, at(101)), Some(at(103)));
    assert_eq!(due(&patient(json!({"startTime": at(50)})), &taints, at(101)), Some(at(53)));
    assert_eq!(due(&patient(json!({})), &taints, at(101)), Some(at(3)));
}
