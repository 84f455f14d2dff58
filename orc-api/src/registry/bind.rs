//! `pods/binding`: the scheduler's decision becomes the pod's node, once.

use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::client::{Outcome, WriteOptions, Written};
use orc_store::local::rules;
use serde_json::{Value, json};

use super::admission::{self, Charges};
use super::kind::Kind;
use super::update::Prepared;
use super::{MAX_TRIES, Registry};
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
        let given = binding.at(&["metadata"]).cloned().unwrap_or_default();
        let now = rules::timestamp(self.system.clock.now());
        let written = self
            .assigned(&kind, key, options, |pod| {
                assign(pod, &key.name, &node, &uid, &now)?;
                take_over(pod, &given);
                Ok(())
            })
            .await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        warnings.extend(written.warnings);
        Ok(Written { outcome: Outcome::Status(status), code: 201, warnings })
    }

    /// Commits what a binding makes of the pod. The stored pod is whole, has its defaults and was admitted; a binding is admitted as what
    /// it is, and notes no manager, as upstream: so the steps of an update that ask for those are not taken.
    async fn assigned(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        options: &WriteOptions,
        change: impl Fn(&mut Doc) -> Result<(), ApiError>,
    ) -> Result<Written, ApiError> {
        for _ in 0..MAX_TRIES {
            let (stored, current) = self.current(kind, key).await?;
            rules::check_preconditions(&stored, &options.preconditions)?;
            let mut doc = current.clone();
            change(&mut doc)?;
            kind.rules.prepare_update(doc.value_mut(), current.value(), Some("binding"));
            let (errors, warnings) = kind.rules.judge_update(doc.value(), current.value(), Some("binding"));
            kind.check(&doc, &errors)?;
            let prepared = Prepared { doc, warnings, pinned: false };
            match self.commit_update(kind, key, &stored, &current, prepared, options).await {
                Ok(written) => return Ok(written),
                Err((error, true)) if error.is_conflict() => continue,
                Err((error, _)) => return Err(error),
            }
        }
        Err(ApiError::stale(&kind.info.group, &kind.info.plural, &key.name))
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
