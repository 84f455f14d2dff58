//! Pods stay for five minutes on a node that stopped answering (DefaultTolerationSeconds).

use orc_core::Doc;
use serde_json::{Value, json};

/// Seconds, as kube-apiserver's defaults.
const SECONDS: i64 = 300;

pub(super) fn add_defaults(pod: &mut Doc) {
    let mut tolerations = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let before = tolerations.len();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covers = |t: &Value| {
            let text = |name: &str| t.get(name).and_then(Value::as_str).unwrap_or_default();
            (text("key") == key || text("key").is_empty()) && matches!(text("effect"), "" | "NoExecute")
        };
        if !tolerations.iter().any(covers) {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
        }
    }
    if tolerations.len() > before {
        pod.set(&["spec", "tolerations"], tolerations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pod_says_itself_stays() {
        let all = json!([{"operator": "Exists"}]);
        let mut pod = Doc::from_value(json!({"spec": {"tolerations": all}})).unwrap();
        add_defaults(&mut pod);
        assert_eq!(pod.at(&["spec", "tolerations"]), Some(&all));
        let mut bare = Doc::from_value(json!({"spec": {}})).unwrap();
        add_defaults(&mut bare);
        assert_eq!(bare.at(&["spec", "tolerations"]).and_then(Value::as_array).map(Vec::len), Some(2));
    }
}
