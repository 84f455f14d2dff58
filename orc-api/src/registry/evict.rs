//! `pods/eviction`: a deletion that a disruption budget may refuse.

use orc_core::labels::Selector;
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{DeleteOptions, ListOptions, Outcome, Preconditions, Scope, WriteOptions, Written};
use serde_json::{Value, json};

use super::Registry;

impl Registry {
    /// Deletes a pod unless that would break a budget.
    ///
    /// # Errors
    /// 429 when a budget allows no disruption now.
    pub(super) async fn evict(&self, key: &ObjectKey, eviction: &Doc, options: &WriteOptions) -> Result<Written, ApiError> {
        if eviction.name() != key.name.as_str() {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let kind = self.kind(&key.resource)?;
        let (stored, pod) = self.current(&kind, key).await?;
        let ended = matches!(pod.str_at(&["status", "phase"]), Some("Succeeded" | "Failed" | "Pending"));
        if !ended && pod.at(&["metadata", "deletionTimestamp"]).is_none() {
            self.check_budgets(key, &stored.head.labels).await?;
        }
        let given = eviction.at(&["deleteOptions"]);
        let uid = given.and_then(|g| g.get("preconditions")?.get("uid")?.as_str()).map(str::to_owned);
        let delete = DeleteOptions {
            grace_seconds: given.and_then(|g| g.get("gracePeriodSeconds")).and_then(Value::as_i64),
            preconditions: Preconditions { uid, revision: None },
            propagation: None,
        };
        self.delete(key, &delete, options).await?;
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Ok(Written { outcome: Outcome::Status(status), code: 201, warnings: Vec::new() })
    }

    async fn check_budgets(&self, key: &ObjectKey, labels: &std::collections::BTreeMap<String, String>) -> Result<(), ApiError> {
        let Some(namespace) = &key.namespace else { return Ok(()) };
        let scope = Scope::within(ResourceId::new("policy", "poddisruptionbudgets"), namespace.clone());
        for budget in self.store.list(&scope, &ListOptions::default()).await?.items {
            let doc = Doc::from_body(&budget.body)?;
            let Some(selector) = doc.at(&["spec", "selector"]) else { continue };
            if !Selector::from_value(selector).map_err(ApiError::internal)?.matches(labels) {
                continue;
            }
            let allowed = doc.at(&["status", "disruptionsAllowed"]).and_then(Value::as_i64).unwrap_or_default();
            if allowed <= 0 {
                let name = &budget.key.name;
                let message = "Cannot evict pod as it would violate the pod's disruption budget.";
                let cause = orc_core::error::Cause {
                    reason: "DisruptionBudget".into(),
                    message: format!("The disruption budget {name} does not allow evicting pods now"),
                    field: String::new(),
                };
                let details = orc_core::error::Details { causes: vec![cause], ..Default::default() };
                return Err(ApiError::new(orc_core::Reason::TooManyRequests, message).with_details(details));
            }
        }
        Ok(())
    }
}
