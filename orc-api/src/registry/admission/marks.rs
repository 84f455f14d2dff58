//! Small marks on new objects: protection finalizers, the taint of a new node, who asked for a certificate.

use orc_core::Doc;
use serde_json::{Value, json};

use crate::identity::Identity;

/// Keeps an object until the controller that watches its users lets it go (StorageObjectInUseProtection).
pub(super) fn protect(doc: &mut Doc, finalizer: &str) {
    let mut names = orc_store::local::rules::finalizers(doc);
    if !names.iter().any(|name| name == finalizer) {
        names.push(finalizer.to_owned());
        orc_store::local::rules::set_finalizers(doc, &names);
    }
}

/// A new node takes no pods until it is known to be ready (TaintNodesByCondition).
pub(super) fn taint(node: &mut Doc) {
    const KEY: &str = "node.kubernetes.io/not-ready";
    let mut taints = node.at(&["spec", "taints"]).and_then(Value::as_array).cloned().unwrap_or_default();
    if !taints.iter().any(|taint| taint["key"] == KEY && taint["effect"] == "NoSchedule") {
        taints.push(json!({"key": KEY, "effect": "NoSchedule"}));
        node.set(&["spec", "taints"], taints);
    }
}

/// Writes the requester into a certificate signing request, whatever the client wrote there.
pub(super) fn requester(request: &mut Doc, who: &Identity) {
    let mut put = |field: &str, value: Value, empty: bool| {
        if empty {
            drop(request.remove(&["spec", field]));
        } else {
            request.set(&["spec", field], value);
        }
    };
    put("username", who.user.as_str().into(), who.user.is_empty());
    put("uid", who.uid.as_str().into(), who.uid.is_empty());
    put("groups", who.groups.clone().into(), who.groups.is_empty());
    put("extra", json!(who.extra), who.extra.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_set_once() {
        let mut doc = Doc::from_value(json!({"metadata": {}, "spec": {}})).unwrap();
        for _ in 0..2 {
            protect(&mut doc, "a/b");
            taint(&mut doc);
        }
        assert_eq!(doc.at(&["metadata", "finalizers"]), Some(&json!(["a/b"])));
        assert_eq!(doc.at(&["spec", "taints"]).and_then(Value::as_array).map(Vec::len), Some(1));
    }

    #[test]
    fn a_requester_cannot_be_forged() {
        let mut doc =
            Doc::from_value(json!({"spec": {"username": "root", "uid": "0", "groups": ["system:masters"]}})).unwrap();
        requester(&mut doc, &Identity::user("eve", &[]));
        assert_eq!(doc.at(&["spec"]), Some(&json!({"username": "eve", "groups": ["system:authenticated"]})));
    }
}
