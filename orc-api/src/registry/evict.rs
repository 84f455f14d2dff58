//! `pods/eviction`: a deletion that a disruption budget may refuse.

use std::sync::Arc;

use orc_core::error::{Cause, Details};
use orc_core::labels::Selector;
use orc_core::{ApiError, Doc, ObjectKey, Reason, ResourceId};
use orc_store::client::{
    DeleteOptions, Intent, ListOptions, Modify, Outcome, Preconditions, Scope, Subresource, WriteOptions, Written,
};
use orc_store::local::rules;
use serde_json::{Value, json};

use super::Registry;
use super::admission::{self, Charges};
use crate::identity::Identity;

impl Registry {
    /// Deletes a pod unless that would break a budget.
    ///
    /// # Errors
    /// 429 when a budget allows no disruption now.
    pub(super) async fn evict(
        &self,
        key: &ObjectKey,
        eviction: &Doc,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        if eviction.name() != key.name.as_str() {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let kind = self.kind(&key.resource)?;
        let (_, pod) = self.current(&kind, key).await?;
        let mut ask = admission::foreign(&kind, key, "eviction", ("policy", "v1", "Eviction"), who, options);
        ask.object = Some(eviction.clone());
        self.mutate(&kind, &mut ask).await?;
        self.validate(&mut ask, &mut Charges::default()).await?;
        let ended = matches!(pod.str_at(&["status", "phase"]), Some("Succeeded" | "Failed" | "Pending"));
        if !ended && pod.at(&["metadata", "deletionTimestamp"]).is_none() {
            self.take_disruption(key, &pod, options).await?;
        }
        let given = eviction.at(&["deleteOptions"]);
        let uid = given.and_then(|g| g.get("preconditions")?.get("uid")?.as_str()).map(str::to_owned);
        let delete = DeleteOptions {
            grace_seconds: given.and_then(|g| g.get("gracePeriodSeconds")).and_then(Value::as_i64),
            preconditions: Preconditions { uid, revision: None },
            propagation: None,
        };
        self.delete(key, &delete, options, who).await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { outcome: Outcome::Status(status), code: 201, warnings: ask.warnings })
    }

    /// Takes one disruption from the budget that selects the pod.
    async fn take_disruption(&self, key: &ObjectKey, pod: &Doc, options: &WriteOptions) -> Result<(), ApiError> {
        let Some(budget) = self.budget_of(key, pod).await? else { return Ok(()) };
        let now = rules::timestamp(self.system.clock.now());
        let name = key.name.clone();
        if unhealthy_may_go(&budget, pod) {
            return Ok(());
        }
        let modify: Modify = Arc::new(move |budget: &mut Doc| disrupt(budget, &name, &now));
        let place = ObjectKey { resource: budgets(), namespace: key.namespace.clone(), name: budget.name().into() };
        let options = WriteOptions {
            dry_run: options.dry_run,
            field_manager: options.field_manager.clone(),
            ..WriteOptions::default()
        };
        self.update(&place, Some(&Subresource::STATUS), &Intent::Modify(modify), &options, &Identity::default())
            .await?;
        Ok(())
    }

    /// The one budget that selects a pod.
    async fn budget_of(&self, key: &ObjectKey, pod: &Doc) -> Result<Option<Doc>, ApiError> {
        let Some(namespace) = &key.namespace else { return Ok(None) };
        let labels = pod.at(&["metadata", "labels"]).and_then(Value::as_object);
        let labels: orc_core::labels::Labels =
            labels.into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
        let mut found = Vec::new();
        for budget in
            self.store.list(&Scope::within(budgets(), namespace.clone()), &ListOptions::default()).await?.items
        {
            let doc = Doc::from_body(&budget.body)?;
            let Some(selector) = doc.at(&["spec", "selector"]) else { continue };
            if Selector::from_value(selector).map_err(ApiError::internal)?.matches(&labels) {
                found.push(doc);
            }
        }
        if found.len() > 1 {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(ApiError::new(Reason::Unknown, message).with_code(500));
        }
        Ok(found.pop())
    }
}

fn budgets() -> ResourceId {
    ResourceId::new("policy", "poddisruptionbudgets")
}

fn number(doc: &Doc, path: &[&str]) -> i64 {
    doc.at(path).and_then(Value::as_i64).unwrap_or_default()
}

/// Whether a pod that is not ready goes without a disruption being counted.
fn unhealthy_may_go(budget: &Doc, pod: &Doc) -> bool {
    let conditions = pod.at(&["status", "conditions"]).and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
    if ready {
        return false;
    }
    let (healthy, desired) =
        (number(budget, &["status", "currentHealthy"]), number(budget, &["status", "desiredHealthy"]));
    match budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) {
        Some("AlwaysAllow") => true,
        _ => healthy >= desired && desired > 0,
    }
}

/// Counts one disruption, or refuses.
fn disrupt(budget: &mut Doc, pod: &str, now: &str) -> Result<(), ApiError> {
    let name = budget.name().to_owned();
    if number(budget, &["status", "observedGeneration"]) < number(budget, &["metadata", "generation"]) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refuse(why).with_retry_after(10));
    }
    let allowed = number(budget, &["status", "disruptionsAllowed"]);
    if allowed < 1 {
        let (healthy, desired) =
            (number(budget, &["status", "currentHealthy"]), number(budget, &["status", "desiredHealthy"]));
        return Err(refuse(format!(
            "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        )));
    }
    budget.set(&["status", "disruptionsAllowed"], allowed - 1);
    budget.set(&["status", "disruptedPods", pod], now);
    if allowed == 1 {
        let mut conditions =
            budget.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "DisruptionAllowed");
        conditions
            .push(json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": number(budget, &["status", "observedGeneration"]), "lastTransitionTime": now}));
        budget.set(&["status", "conditions"], conditions);
    }
    Ok(())
}

fn refuse(why: String) -> ApiError {
    let cause = Cause { reason: "DisruptionBudget".into(), message: why, field: String::new() };
    let details = Details { causes: vec![cause], ..Details::default() };
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    ApiError::new(Reason::TooManyRequests, message).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_once() {
        let mut budget = Doc::from_value(json!({"metadata": {"name": "b", "generation": 1},
            "status": {"observedGeneration": 1, "disruptionsAllowed": 1}}))
        .unwrap();
        disrupt(&mut budget, "p", "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(budget.at(&["status", "disruptedPods", "p"]), Some(&json!("2026-01-01T00:00:00Z")));
        assert_eq!(disrupt(&mut budget, "q", "2026-01-01T00:00:00Z").unwrap_err().code(), 429);
        budget.set(&["metadata", "generation"], 2);
        let waits = disrupt(&mut budget, "q", "2026-01-01T00:00:00Z").unwrap_err();
        assert_eq!(waits.details().map(|details| details.retry_after_seconds), Some(10));
    }
}
