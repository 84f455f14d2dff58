//! The priority of a pod, from its class (the Priority plugin).

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Freshness, ListOptions, Scope};
use serde_json::Value;

use super::super::Registry;
use crate::admission::{Attributes, Operation};

/// The policy of a class that names none.
const PREEMPT: &str = "PreemptLowerPriority";

impl Registry {
    /// Writes the class's value and preemption policy into a new pod.
    ///
    /// # Errors
    /// 403 for a class that is not there, or when the pod brings other numbers than its class.
    pub(super) async fn admit_priority(&self, key: &ObjectKey, pod: &mut Doc) -> Result<(), ApiError> {
        let refuse = |why: String| Err(ApiError::forbidden("", "pods", &key.name, why));
        let named = pod.str_at(&["spec", "priorityClassName"]).unwrap_or_default().to_owned();
        let class = if named.is_empty() { self.default_class().await? } else { self.priority_class(&named).await? };
        let (name, value, policy) = match class {
            Some(class) => class,
            None if named.is_empty() => (String::new(), 0, PREEMPT.to_owned()),
            None => return refuse(format!("no PriorityClass with name {named} was found")),
        };
        let tail = "from the given PriorityClass name";
        if let Some(given) = pod.at(&["spec", "priority"]).and_then(Value::as_i64).filter(|given| *given != value) {
            return refuse(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} {tail}"
            ));
        }
        if let Some(given) = pod.str_at(&["spec", "preemptionPolicy"]).filter(|given| *given != policy) {
            return refuse(format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} {tail}"
            ));
        }
        if !name.is_empty() {
            pod.set(&["spec", "priorityClassName"], name);
        }
        pod.set(&["spec", "priority"], value);
        pod.set(&["spec", "preemptionPolicy"], policy);
        Ok(())
    }

    /// Only one class may be the default.
    ///
    /// # Errors
    /// 403 for a second one.
    pub(super) async fn check_default_priority(&self, ask: &Attributes<'_>) -> Result<(), ApiError> {
        let written = ask.is_main() && matches!(ask.operation, Operation::Create | Operation::Update);
        let marked = ask.new_value().get("globalDefault").and_then(Value::as_bool) == Some(true);
        if ask.resource() != "priorityclasses.scheduling.k8s.io" || !written || !marked {
            return Ok(());
        }
        match self.default_class().await? {
            Some((name, ..)) if ask.operation == Operation::Create || name != ask.name() => {
                let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
                Err(ask.forbid(why))
            }
            _ => Ok(()),
        }
    }

    async fn priority_class(&self, name: &str) -> Result<Option<(String, i64, String)>, ApiError> {
        let key = ObjectKey::cluster(ResourceId::new("scheduling.k8s.io", "priorityclasses"), name);
        let stored = self.store.get(&key, Freshness::Latest).await?;
        stored.map(|stored| Doc::from_body(&stored.body).map(|doc| facts(&doc))).transpose()
    }

    /// The class for pods that name none: of several, the one of least value.
    async fn default_class(&self) -> Result<Option<(String, i64, String)>, ApiError> {
        let scope = Scope::all(ResourceId::new("scheduling.k8s.io", "priorityclasses"));
        let mut found = Vec::new();
        for item in
            self.store.list(&scope, &ListOptions { freshness: Freshness::Any, ..ListOptions::default() }).await?.items
        {
            // Every pod asks for this, and hardly any class has the mark: only one that may have it is read.
            if !item.may_have("globalDefault") {
                continue;
            }
            let doc = Doc::from_body(&item.body)?;
            if doc.at(&["globalDefault"]).and_then(Value::as_bool) == Some(true) {
                found.push(facts(&doc));
            }
        }
        Ok(found.into_iter().min_by_key(|(_, value, _)| *value))
    }
}

fn facts(class: &Doc) -> (String, i64, String) {
    let value = class.at(&["value"]).and_then(Value::as_i64).unwrap_or_default();
    (class.name().to_owned(), value, class.str_at(&["preemptionPolicy"]).unwrap_or(PREEMPT).to_owned())
}

/// An update that leaves the numbers out keeps them.
pub(super) fn keep(pod: &mut Doc, old: &Doc) {
    for field in ["priority", "preemptionPolicy"] {
        if pod.at(&["spec", field]).is_none_or(Value::is_null)
            && let Some(value) = old.at(&["spec", field])
        {
            pod.set(&["spec", field], value.clone());
        }
    }
}
