//! `pods/binding`: the scheduler's decision becomes the pod's node, once.

use bytes::Bytes;
use orc_core::{ApiError, Doc, ObjectKey, Parts};
use orc_store::Stored;
use orc_store::backend::Expect;
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
        let plain = !options.dry_run && ["annotations", "labels"].iter().all(|field| given.get(field).is_none());
        let quick = |pod: &Stored| if plain { spliced(pod, &node, &uid, &now) } else { None };
        let change = |pod: &mut Doc| {
            assign(pod, &key.name, &node, &uid, &now)?;
            take_over(pod, &given);
            Ok(())
        };
        let written = self.assigned(&kind, key, options, quick, change).await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        warnings.extend(written.warnings);
        Ok(Written { outcome: Outcome::Status(status), code: 201, warnings })
    }

    /// Commits what a binding makes of the pod. The stored pod is whole, has its defaults and was admitted; a binding is admitted as what
    /// it is, and notes no manager, as upstream: so the steps of an update that ask for those are not taken. `quick` gives the new body
    /// where it can be had without decoding the pod.
    async fn assigned(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        options: &WriteOptions,
        quick: impl Fn(&Stored) -> Option<Bytes>,
        change: impl Fn(&mut Doc) -> Result<(), ApiError>,
    ) -> Result<Written, ApiError> {
        for _ in 0..MAX_TRIES {
            let stored = self.stored(kind, key).await?;
            rules::check_preconditions(&stored, &options.preconditions)?;
            if let Some(body) = quick(&stored) {
                match self.store.commit(key, Some(body), Expect::At(stored.revision), None).await {
                    Err(error) if error.is_conflict() => continue,
                    done => {
                        let outcome = Outcome::Persisted(done?.stored);
                        return Ok(Written { outcome, code: 200, warnings: Vec::new() });
                    }
                }
            }
            let current = self.spoken(kind, &stored).await?;
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

/// The pod's body with its node and the condition that it is scheduled, where nothing speaks against it and nothing else changes: the
/// rest of the pod is not decoded. `None` leaves it to [`assign`], which knows the errors.
fn spliced(pod: &Stored, node: &str, uid: &str, now: &str) -> Option<Bytes> {
    let head = &pod.head;
    let free = head.field("spec.nodeName").is_empty() && !head.is_terminating() && !pod.may_have("schedulingGates");
    if !free || !(uid.is_empty() || head.uid == *uid) {
        return None;
    }
    let mut object = Parts::parse(std::str::from_utf8(&pod.body).ok()?).ok()?;
    let mut spec = Parts::parse(object.get("spec")?).ok()?;
    spec.set("nodeName", Value::from(node).to_string());
    let mut status = Parts::parse(object.get("status")?).ok()?;
    let conditions: Vec<Value> = status.get("conditions").map_or(Ok(Vec::new()), serde_json::from_str).ok()?;
    status.set("conditions", Value::from(scheduled(conditions, now)).to_string());
    let (spec, status) = (spec.to_string(), status.to_string());
    object.set("spec", spec);
    object.set("status", status);
    Some(object.to_string().into())
}

/// The conditions of a pod that has a node.
fn scheduled(mut conditions: Vec<Value>, now: &str) -> Vec<Value> {
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    conditions
        .push(json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}));
    conditions
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
    let conditions = pod.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    pod.set(&["status", "conditions"], scheduled(conditions, now));
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
    fn the_quick_way_writes_what_the_long_one_does() {
        let fields = &["spec.nodeName", "status.phase"];
        let stored = |pod: &Value| {
            let key = ObjectKey::namespaced(orc_core::ResourceId::new("", "pods"), "d", "a");
            let body = Doc::from_value(pod.clone()).unwrap().to_body();
            Stored::parse(key, orc_core::Revision(3), body, fields).unwrap()
        };
        let pod = |status: Value| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": "u", "managedFields": []},
                "spec": {"containers": [{"name": "c", "image": "a\"b"}], "terminationGracePeriodSeconds": 3}, "status": status})
        };
        let now = "2026-01-01T00:00:00Z";
        for status in [
            json!({}),
            json!({"phase": "Pending", "qosClass": "BestEffort"}),
            json!({"conditions": [{"type": "PodScheduled", "status": "False"}, {"type": "X"}], "phase": "Pending"}),
        ] {
            let pod = stored(&pod(status));
            let mut long = Doc::from_body(&pod.body).unwrap();
            assign(&mut long, "a", "n1", "u", now).unwrap();
            assert_eq!(spliced(&pod, "n1", "u", now), Some(long.to_body()));
            assert_eq!(spliced(&pod, "n1", "other", now), None);
        }
        for (path, value) in [
            (&["spec", "nodeName"], json!("n0")),
            (&["spec", "schedulingGates"], json!([{"name": "g"}])),
            (&["metadata", "deletionTimestamp"], json!(now)),
        ] {
            let mut held = Doc::from_value(pod(json!({}))).unwrap();
            held.set(path, value);
            assert_eq!(spliced(&stored(held.value()), "n1", "u", now), None, "{path:?}");
        }
    }

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
