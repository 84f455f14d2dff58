//! `pods/binding`: the scheduler's decision becomes the pod's node, once.

use std::sync::Arc;

use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::client::{Intent, Modify, Outcome, Subresource, WriteOptions, Written};
use serde_json::{Value, json};

use super::Registry;
use super::admission::{self, Charges};
use crate::identity::Identity;

impl Registry {
    /// Assigns a pod to a node.
    ///
    /// # Errors
    /// 409 when the pod has a node already or is being deleted.
    pub(super) async fn bind(
        &self,
        key: &ObjectKey,
        binding: &Doc,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        if !binding.name().is_empty() && binding.name() != key.name.as_str() {
            return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
        }
        let kind = self.kind(&key.resource)?;
        let mut ask = admission::foreign(&kind, key, "binding", ("", "v1", "Binding"), who, options);
        ask.object = Some(binding.clone());
        self.mutate(&kind, &mut ask).await?;
        self.validate(&mut ask, &mut Charges::default()).await?;
        let mut warnings = std::mem::take(&mut ask.warnings);
        let binding = ask.object.take().unwrap_or_default();
        let node = binding.str_at(&["target", "name"]).unwrap_or_default().to_owned();
        if node.is_empty() {
            // Kubernetes returns the bare list of errors here, which its handlers turn into 500.
            return Err(ApiError::new(orc_core::Reason::Unknown, "target.name: Required value"));
        }
        let uid = binding.str_at(&["metadata", "uid"]).unwrap_or_default().to_owned();
        let name = key.name.clone();
        let given = binding.at(&["metadata"]).cloned().unwrap_or_default();
        let now = orc_store::local::rules::timestamp(self.system.clock.now());
        let intent: Modify = Arc::new(move |pod: &mut Doc| {
            assign(pod, &name, &node, &uid, &now)?;
            take_over(pod, &given);
            Ok(())
        });
        let sub = Subresource::BINDING;
        let written = self.update(key, Some(&sub), &Intent::Modify(intent), options, who).await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        warnings.extend(written.warnings);
        Ok(Written { outcome: Outcome::Status(status), code: 201, warnings })
    }
}

fn assign(pod: &mut Doc, name: &str, node: &str, uid: &str, now: &str) -> Result<(), ApiError> {
    let conflict = |why: String| Err(ApiError::conflict("", "pods/binding", name, why));
    if !uid.is_empty() && pod.str_at(&["metadata", "uid"]) != Some(uid) {
        let have = pod.str_at(&["metadata", "uid"]).unwrap_or_default();
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}");
        return Err(ApiError::conflict("", "pods/binding", name, why).with_details(orc_core::error::Details {
            name: name.to_owned(),
            kind: "pods".to_owned(),
            ..Default::default()
        }));
    }
    if pod.at(&["metadata", "deletionTimestamp"]).is_some() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    match pod.str_at(&["spec", "nodeName"]) {
        Some(has) if !has.is_empty() => return conflict(format!("pod {name} is already assigned to node {has:?}")),
        _ => {}
    }
    if pod.at(&["spec", "schedulingGates"]).and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.set(&["spec", "nodeName"], node);
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut conditions = pod.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions.push(scheduled);
    pod.set(&["status", "conditions"], conditions);
    Ok(())
}

/// A binding's annotations go onto the pod, and so do labels that the pod has not.
fn take_over(pod: &mut Doc, given: &Value) {
    for (field, over) in [("annotations", true), ("labels", false)] {
        for (key, value) in given.get(field).and_then(Value::as_object).into_iter().flatten() {
            if over || pod.at(&["metadata", field, key]).is_none() {
                pod.set(&["metadata", field, key], value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_once() {
        let mut pod = Doc::from_value(json!({"metadata": {"name": "a", "uid": "u"}, "spec": {}})).unwrap();
        assign(&mut pod, "a", "n1", "u", "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(pod.str_at(&["spec", "nodeName"]), Some("n1"));
        let again = assign(&mut pod, "a", "n2", "", "2026-01-01T00:00:00Z").unwrap_err();
        assert!(again.is_conflict(), "{again}");
        assert!(again.message().contains("already assigned to node \"n1\""));
    }
}
