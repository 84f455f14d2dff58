//! The Pod Security Standards of a namespace (PodSecurity).

use orc_core::validation::{FieldError, FieldPath};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::{Freshness, ListOptions, Scope};
use serde_json::Value;

use super::super::Registry;
use crate::admission::pod_security::{Level, Policy, Standard, describe, violations};
use crate::admission::{Attributes, Operation};

/// At most so many pods are looked at when a namespace's level changes, as upstream.
const MAX_PODS: usize = 3000;

impl Registry {
    /// Checks a pod, warns of a workload whose pods would be refused, and checks the labels of a namespace.
    ///
    /// # Errors
    /// 403 for a pod that violates what its namespace enforces; 422 for labels that do not read.
    pub(super) async fn check_pod_security(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        if !matches!(ask.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        if ask.resource() == "namespaces" {
            return if ask.is_main() { self.check_level(ask).await } else { Ok(()) };
        }
        let pod = ask.resource() == "pods" && matches!(ask.subresource, "" | "ephemeralcontainers" | "resize");
        let template = if ask.is_main() { template(ask.resource()) } else { None };
        let Some(namespace) = ask.key.namespace.as_ref().filter(|_| pod || template.is_some()) else { return Ok(()) };
        let home = ObjectKey::cluster(ResourceId::new("", "namespaces"), namespace.clone());
        let Some(home) = self.store.find(&home).await? else { return Ok(()) };
        let policy = Policy::of_labels(&home.head.labels);
        if policy.is_privileged() || pod && ask.operation == Operation::Update && !significant(ask) {
            return Ok(());
        }
        let holder = template.map_or(Some(ask.new_value()), |path| ask.new_value().pointer(path));
        let Some(holder) = holder.filter(|holder| holder.get("spec").is_some_and(Value::is_object)) else {
            return Ok(());
        };
        let found = |standard: Standard| describe(&violations(standard, &holder["metadata"], &holder["spec"]));
        let enforced = if pod { found(policy.enforce) } else { String::new() };
        let (audited, warned) = (found(policy.audit), found(policy.warn));
        let note =
            |standard: Standard, found: &str| format!("would violate PodSecurity {:?}: {found}", standard.to_string());
        let (audit, warning) = (note(policy.audit, &audited), note(policy.warn, &warned));
        if !audited.is_empty() {
            ask.audit.push(("pod-security.kubernetes.io/audit-violations".to_owned(), audit));
        }
        if !enforced.is_empty() {
            return Err(ask.forbid(format!("violates PodSecurity {:?}: {enforced}", policy.enforce.to_string())));
        }
        if !warned.is_empty() {
            ask.warnings.push(warning);
        }
        Ok(())
    }

    /// A namespace's labels must read; when it enforces more than before, the pods that it holds are checked for a warning.
    async fn check_level(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        let (new, old) = (ask.new_value().pointer("/metadata/labels"), ask.old_value().pointer("/metadata/labels"));
        let broken = Policy::broken(new);
        if !broken.is_empty() && (ask.old.is_none() || Policy::broken(old) != broken) {
            let labels = FieldPath::new("metadata");
            let labels = labels.child("labels");
            let errors: Vec<FieldError> = broken
                .iter()
                .map(|(label, value, why)| FieldError::invalid(&labels.key(label), value.as_str(), why.as_str()))
                .collect();
            return Err(ApiError::invalid("", "Namespace", ask.name(), &errors));
        }
        let (before, after) = (Policy::of(old).enforce, Policy::of(new).enforce);
        if ask.old.is_none() || after == before || after.level == Level::Privileged {
            return Ok(());
        }
        if after.version == before.version && after.level < before.level {
            return Ok(());
        }
        let warnings = self.existing(ask.name(), after).await?;
        ask.warnings.extend(warnings);
        Ok(())
    }

    async fn existing(&self, namespace: &str, standard: Standard) -> Result<Vec<String>, ApiError> {
        let scope = Scope::within(ResourceId::new("", "pods"), namespace);
        let options = ListOptions { freshness: Freshness::Any, limit: Some(MAX_PODS), ..ListOptions::default() };
        let mut found: Vec<(String, String, usize)> = Vec::new();
        for item in self.store.list(&scope, &options).await?.items {
            let pod = Doc::from_body(&item.body)?;
            let what = describe(&violations(standard, &pod.value()["metadata"], &pod.value()["spec"]));
            match found.iter_mut().find(|(_, have, _)| *have == what) {
                _ if what.is_empty() => {}
                Some((_, _, more)) => *more += 1,
                None => found.push((pod.name().to_owned(), what, 0)),
            }
        }
        if found.is_empty() {
            return Ok(found.into_iter().map(|(name, ..)| name).collect());
        }
        let mut lines: Vec<String> = found
            .into_iter()
            .map(|(name, what, more)| match more {
                0 => format!("{name}: {what}"),
                1 => format!("{name} (and 1 other pod): {what}"),
                more => format!("{name} (and {more} other pods): {what}"),
            })
            .collect();
        lines.sort();
        let head = "existing pods in namespace";
        let level = standard.to_string();
        lines.insert(0, format!("{head} {namespace:?} violate the new PodSecurity enforce level {level:?}"));
        Ok(lines)
    }
}

/// Where a workload keeps the pod that it makes.
fn template(resource: &str) -> Option<&'static str> {
    match resource {
        "deployments.apps"
        | "replicasets.apps"
        | "statefulsets.apps"
        | "daemonsets.apps"
        | "jobs.batch"
        | "replicationcontrollers" => Some("/spec/template"),
        "cronjobs.batch" => Some("/spec/jobTemplate/spec/template"),
        "podtemplates" => Some("/template"),
        _ => None,
    }
}

/// Whether an update of a pod touches what the standards look at: images, security contexts, annotations, containers.
fn significant(ask: &Attributes<'_>) -> bool {
    let facts = |pod: &Value| {
        let list = |name: &str| -> Vec<Value> {
            let all = pod.pointer(&format!("/spec/{name}")).and_then(Value::as_array);
            all.into_iter()
                .flatten()
                .map(|c| Value::from(vec![c["name"].clone(), c["image"].clone(), c["securityContext"].clone()]))
                .collect()
        };
        let notes: Vec<(String, Value)> = pod
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.contains("apparmor.security") || key.contains("seccomp.security"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        (list("containers"), list("initContainers"), list("ephemeralContainers"), notes)
    };
    facts(ask.new_value()) != facts(ask.old_value())
}
