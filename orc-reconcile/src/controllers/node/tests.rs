//! Plans of nodes.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use super::{Write, plan};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn node() -> Node {
    serde_json::from_value(
        json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    )
    .unwrap()
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
