//! Deletion of an object and of a collection.

use std::sync::Arc;

use orc_core::{ApiError, Doc, ObjectKey, Revision};
use orc_store::Stored;
use orc_store::backend::Expect;
use orc_store::client::{DeleteOptions, ListOptions, Outcome, Propagation, Scope, WriteOptions, Written};
use orc_store::local::deletion::{DeletionRules, DeletionStep, deletion_step};
use orc_store::local::rules;
use serde_json::json;

use super::admission::{self, Charges};
use super::kind::Kind;
use super::{MAX_TRIES, Registry};
use crate::admission::Operation;
use crate::identity::Identity;

/// Kinds whose deletion answers with the object instead of a Status (`ReturnDeletedObject` of upstream's stores).
const ANSWER_OBJECT: [&str; 7] = [
    "pods",
    "podtemplates",
    "persistentvolumes",
    "persistentvolumeclaims",
    "serviceaccounts",
    "resourcequotas",
    "services",
];

impl Registry {
    pub(super) async fn delete(
        &self,
        key: &ObjectKey,
        delete: &DeleteOptions,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let kind = self.kind_in(&key.resource, options.version.as_deref())?;
        for _ in 0..MAX_TRIES {
            let (stored, current) = self.current(&kind, key).await?;
            check_preconditions(&kind, &stored, delete)?;
            self.may_delete(key)?;
            let step = self.step(&kind, &current, delete)?;
            let mut warnings = orphans_by_default(&kind, &current, delete);
            let mut ask = admission::attributes(Operation::Delete, &kind, key, "", who, options);
            admission::delete_json(delete, &mut ask.options);
            ask.old = Some(&current);
            self.mutate(&kind, &mut ask).await?;
            self.validate(&mut ask, &mut Charges::default()).await?;
            warnings.append(&mut ask.warnings);
            let done = match &step {
                _ if options.dry_run => Ok((stored.clone(), matches!(step, DeletionStep::Now))),
                DeletionStep::Nothing => Ok((stored.clone(), false)),
                DeletionStep::Now => self.remove(key, stored.revision).await.map(|last| (last, true)),
                DeletionStep::Mark(doc) => self.mark(&kind, key, stored.revision, doc).await.map(|now| (now, false)),
            };
            match done {
                Ok((stored, gone)) => {
                    let written = answer(&kind, stored, gone);
                    return Ok(Written { warnings, ..self.show_grace(&kind, &current, gone, written) });
                }
                Err(error) if error.is_conflict() && delete.preconditions.revision.is_none() => continue,
                Err(error) => return Err(error),
            }
        }
        Err(ApiError::stale(&kind.info.group, &kind.info.plural, &key.name))
    }

    pub(super) async fn delete_collection(
        &self,
        scope: &Scope,
        delete: &DeleteOptions,
        list: &ListOptions,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let listing = self.store.list(scope, list).await?;
        let mut taken = Vec::with_capacity(listing.items.len());
        for item in listing.items {
            match self.delete(&item.key, delete, options, who).await {
                Ok(_) => taken.push(item),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Written { outcome: Outcome::Collection(taken), code: 200, warnings: Vec::new() })
    }

    fn step(&self, kind: &Kind, current: &Doc, delete: &DeleteOptions) -> Result<DeletionStep, ApiError> {
        let now = self.system.clock.now();
        if kind.info.kind == "Namespace" && kind.info.group.is_empty() {
            return Ok(namespace_step(current, now));
        }
        if kind.info.kind == "CustomResourceDefinition"
            && let Some(step) = super::custom::deletion_step(current, now)
        {
            return Ok(step);
        }
        let grace = kind.rules.graceful_delete(current.value(), delete.grace_seconds);
        let propagation = if orphans(kind) { Propagation::Orphan } else { Propagation::Background };
        deletion_step(current, delete, &DeletionRules { grace, propagation }, now)
    }

    /// The answer to a delete that ends a graceful kind at once shows the end of its grace period.
    fn show_grace(&self, kind: &Kind, current: &Doc, gone: bool, written: Written) -> Written {
        let Outcome::Persisted(stored) = &written.outcome else { return written };
        if !gone || kind.rules.graceful_delete(current.value(), Some(0)).is_none() {
            return written;
        }
        let mut doc = current.clone();
        if doc.at(&["metadata", "deletionTimestamp"]).is_none() {
            doc.set(&["metadata", "deletionTimestamp"], rules::timestamp(self.system.clock.now()));
            if let Some(generation) = doc.at(&["metadata", "generation"]).and_then(serde_json::Value::as_i64) {
                doc.set(&["metadata", "generation"], generation + 1);
            }
        }
        doc.set(&["metadata", "deletionGracePeriodSeconds"], 0);
        doc.set(&["metadata", "resourceVersion"], stored.revision.to_string());
        Written { outcome: Outcome::Unsaved(doc), ..written }
    }

    async fn mark(&self, kind: &Kind, key: &ObjectKey, at: Revision, doc: &Doc) -> Result<Arc<Stored>, ApiError> {
        let mut doc = doc.clone();
        kind.canonical(&mut doc);
        let doc = self.store_form(kind, doc).await?;
        Ok(self.store.commit(key, Some(doc.to_body()), Expect::At(at), None).await?.stored)
    }

    /// Takes an object out of the store and gives back what it held of shared ranges.
    pub(super) async fn remove(&self, key: &ObjectKey, at: Revision) -> Result<Arc<Stored>, ApiError> {
        let committed = self.store.commit(key, None, Expect::At(at), None).await?;
        self.release_claims(&committed.stored).await;
        Ok(committed.stored)
    }

    /// Some namespaces are the cluster's own.
    fn may_delete(&self, key: &ObjectKey) -> Result<(), ApiError> {
        let priority = key.resource.as_str() == "priorityclasses.scheduling.k8s.io";
        if priority && ["system-cluster-critical", "system-node-critical"].contains(&key.name.as_str()) {
            let why = "this is a system priority class and cannot be deleted";
            return Err(ApiError::forbidden("scheduling.k8s.io", "priorityclasses", &key.name, why));
        }
        let own = ["default", "kube-system", "kube-public"];
        if key.resource.as_str() == "namespaces" && own.contains(&key.name.as_str()) {
            return Err(ApiError::forbidden("", "namespaces", &key.name, "this namespace may not be deleted"));
        }
        Ok(())
    }
}

/// What the deletion demands of the object; worded as `rest.BeforeDelete` does, which names the kind.
fn check_preconditions(kind: &Kind, stored: &Stored, delete: &DeleteOptions) -> Result<(), ApiError> {
    let refuse = |what: &str, asked: &str, found: &str| {
        let why = format!(
            "the {what} in the precondition ({asked}) does not match the {what} in record ({found}). The object might have been"
        );
        let end = if what == "UID" { "deleted and then recreated" } else { "modified" };
        ApiError::conflict(&kind.info.group, &kind.info.kind, &stored.key.name, format!("{why} {end}"))
    };
    if let Some(uid) = delete.preconditions.uid.as_deref().filter(|uid| *uid != stored.head.uid.as_str()) {
        return Err(refuse("UID", uid, &stored.head.uid));
    }
    match delete.preconditions.revision.filter(|revision| *revision != stored.revision) {
        Some(revision) => Err(refuse("ResourceVersion", &revision.to_string(), &stored.revision.to_string())),
        None => Ok(()),
    }
}

/// Kinds that leave their dependents behind when nobody says otherwise.
fn orphans(kind: &Kind) -> bool {
    matches!((&*kind.info.group, kind.info.plural.as_str()), ("batch", "jobs") | ("", "replicationcontrollers"))
}

fn orphans_by_default(kind: &Kind, current: &Doc, delete: &DeleteOptions) -> Vec<String> {
    let job = kind.info.plural == "jobs" && &*kind.info.group == "batch";
    if !job || delete.propagation.is_some() || !rules::finalizers(current).is_empty() {
        return Vec::new();
    }
    vec!["child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
        propagationPolicy=Orphan to suppress this warning".to_owned()]
}

/// A namespace is marked and emptied; the namespace controller then takes its finalizer away.
fn namespace_step(current: &Doc, now: jiff::Timestamp) -> DeletionStep {
    if current.at(&["metadata", "deletionTimestamp"]).is_some() {
        let empty = super::update::no_spec_finalizers(current) && rules::finalizers(current).is_empty();
        return if empty { DeletionStep::Now } else { DeletionStep::Nothing };
    }
    let mut next = current.clone();
    next.set(&["metadata", "deletionTimestamp"], rules::timestamp(now));
    next.set(&["status", "phase"], "Terminating");
    DeletionStep::Mark(next)
}

fn answer(kind: &Kind, stored: Arc<Stored>, gone: bool) -> Written {
    if !gone || ANSWER_OBJECT.contains(&kind.info.plural.as_str()) && kind.info.group.is_empty() {
        return Written { outcome: Outcome::Persisted(stored), code: 200, warnings: Vec::new() };
    }
    let mut details =
        json!({"name": stored.key.name.as_str(), "kind": kind.info.plural, "uid": stored.head.uid.as_str()});
    if !kind.info.group.is_empty() {
        details["group"] = json!(&*kind.info.group);
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Written { outcome: Outcome::Status(status), code: 200, warnings: Vec::new() }
}
