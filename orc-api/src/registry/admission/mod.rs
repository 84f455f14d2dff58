//! The admission chain of the write loop: built-in plugins, policies and webhooks, in kube-apiserver's order.
//!
//! [`Registry::mutate`] runs before a kind's own preparation and validation, [`Registry::validate`] after it and just before
//! the commit; quotas come last. Both are replayed when a write loses a race; only what was charged to quotas is kept.
//! `docs/design/admission.md` lists the plugins.

mod bounds;
mod certificates;
mod connect;
mod escalation;
mod limit_range;
mod marks;
mod namespace;
mod node_restriction;
mod pod_security;
mod policies;
mod priority;
mod quota;
mod runtime_class;
mod secrets;
mod service_account;
mod storage;
mod tolerations;
mod topology;
mod trust_bundle;
mod webhooks;

use orc_core::catalogue::GroupVersion;
use orc_core::{ApiError, ObjectKey};
use orc_store::client::{DeleteOptions, WriteOptions};
use serde_json::{Value, json};

pub(crate) use self::connect::Admitted;
pub(super) use self::quota::Charges;
use super::Registry;
use super::kind::Kind;
use crate::admission::{Attributes, Operation};
use crate::audit::notes;
use crate::identity::Identity;

/// The attributes of a write to a resource, without its objects.
pub(super) fn attributes<'a>(
    operation: Operation,
    kind: &'a Kind,
    key: &'a ObjectKey,
    subresource: &'a str,
    who: &'a Identity,
    options: &WriteOptions,
) -> Attributes<'a> {
    let name = match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => "ConnectOptions",
    };
    let mut said = json!({"kind": name, "apiVersion": "meta.k8s.io/v1"});
    if options.dry_run {
        said["dryRun"] = json!(["All"]);
    }
    if let Some(manager) = options.field_manager.as_ref().filter(|_| operation != Operation::Delete) {
        said["fieldManager"] = Value::from(manager.as_str());
    }
    Attributes {
        operation,
        key,
        info: &kind.info,
        subresource,
        version: kind.spoken(),
        kind: kind.info.kind.clone(),
        object: None,
        old: None,
        who,
        options: said,
        dry_run: options.dry_run,
        warnings: Vec::new(),
        audit: Vec::new(),
    }
}

/// The attributes of a creation on a sub-resource whose object is of another kind, such as an Eviction.
pub(super) fn foreign<'a>(
    kind: &'a Kind,
    key: &'a ObjectKey,
    subresource: &'a str,
    of: (&str, &str, &str),
    who: &'a Identity,
    options: &WriteOptions,
) -> Attributes<'a> {
    let mut ask = attributes(Operation::Create, kind, key, subresource, who, options);
    ask.version = GroupVersion { group: of.0.into(), version: of.1.into() };
    ask.kind = of.2.to_owned();
    ask
}

/// `DeleteOptions` in their JSON form.
pub(super) fn delete_json(delete: &DeleteOptions, options: &mut Value) {
    options["apiVersion"] = Value::from("v1");
    if let Some(seconds) = delete.grace_seconds {
        options["gracePeriodSeconds"] = Value::from(seconds);
    }
    if let Some(propagation) = delete.propagation {
        options["propagationPolicy"] = Value::from(format!("{propagation:?}"));
    }
    if let Some(uid) = &delete.preconditions.uid {
        options["preconditions"]["uid"] = Value::from(uid.as_str());
    }
    if let Some(revision) = delete.preconditions.revision {
        options["preconditions"]["resourceVersion"] = Value::from(revision.to_string());
    }
}

impl Registry {
    /// What may change the object: built-in plugins, then policies, then webhooks. The object is defaulted afterwards.
    ///
    /// # Errors
    /// As kube-apiserver's plugins word them.
    pub(super) async fn mutate(&self, kind: &Kind, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        let done = self.mutate_by_all(kind, ask).await;
        notes::note(&ask.audit);
        done
    }

    async fn mutate_by_all(&self, kind: &Kind, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        self.built_in(kind, ask).await?;
        let mut seen = Vec::new();
        let by_policies = self.mutating_policies(kind, ask, false).await?;
        if self.mutating_webhooks(kind, ask, &mut seen, false).await? || by_policies {
            // Somebody changed the object: the built-in plugins and those who ask for it look once more.
            self.built_in(kind, ask).await?;
            self.mutating_policies(kind, ask, true).await?;
            self.mutating_webhooks(kind, ask, &mut seen, true).await?;
        }
        Ok(())
    }

    async fn built_in(&self, kind: &Kind, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        self.check_namespace(kind, ask).await?;
        self.restrict_node(ask).await?;
        self.default_limits(ask).await?;
        let made = ask.operation == Operation::Create && ask.is_main();
        let key = ask.key;
        if let (Operation::Update, Some(doc), Some(old)) = (ask.operation, &mut ask.object, ask.old) {
            let sub = (!ask.subresource.is_empty()).then_some(ask.subresource);
            if key.resource.as_str() == certificates::RESOURCE {
                self.admit_certificate(key, sub, doc, old, ask.who)?;
            }
        }
        match (key.resource.as_str(), &mut ask.object) {
            ("pods", Some(pod)) if made => {
                self.admit_service_account(key, pod).await?;
                self.admit_priority(key, pod).await?;
                tolerations::add_defaults(pod);
            }
            ("pods", Some(pod)) if ask.operation == Operation::Update && ask.subresource.is_empty() => {
                if let Some(old) = ask.old {
                    priority::keep(pod, old);
                }
                tolerations::add_defaults(pod);
            }
            ("nodes", Some(node)) if made => marks::taint(node),
            ("persistentvolumeclaims", Some(doc)) if made => marks::protect(doc, "kubernetes.io/pvc-protection"),
            ("persistentvolumes", Some(doc)) if made => marks::protect(doc, "kubernetes.io/pv-protection"),
            ("volumeattributesclasses.storage.k8s.io", Some(doc)) if made => {
                marks::protect(doc, "kubernetes.io/vac-protection");
            }
            _ => {}
        }
        self.default_class_of(ask).await?;
        if let ("pods", Some(pod), true) = (key.resource.as_str(), &mut ask.object, made) {
            self.admit_runtime_class(key, pod).await?;
        }
        self.topology_labels(ask).await
    }

    /// What the server itself writes into new objects, after their own preparation has cleared what clients may not set.
    pub(super) fn stamp_marks(&self, ask: &mut Attributes<'_>) {
        let now = orc_store::local::rules::timestamp(self.system.clock.now());
        match (ask.key.resource.as_str(), &mut ask.object) {
            ("persistentvolumes", Some(doc)) => doc.set(&["status", "lastPhaseTransitionTime"], now),
            ("certificatesigningrequests.certificates.k8s.io", Some(doc)) => marks::requester(doc, ask.who),
            _ => {}
        }
    }

    /// What may only refuse: built-in plugins, then policies, then webhooks, then quotas.
    ///
    /// # Errors
    /// As kube-apiserver's plugins word them.
    pub(super) async fn validate(&self, ask: &mut Attributes<'_>, charges: &mut Charges) -> Result<(), ApiError> {
        let done = self.validate_by_all(ask, charges).await;
        notes::note(&ask.audit);
        done
    }

    async fn validate_by_all(&self, ask: &mut Attributes<'_>, charges: &mut Charges) -> Result<(), ApiError> {
        if let (Some(doc), true) = (&ask.object, ask.is_main()) {
            self.admit_rbac(ask.key, doc, ask.old, ask.who)?;
        }
        self.check_limits(ask).await?;
        self.check_pod_security(ask).await?;
        self.check_default_priority(ask).await?;
        self.check_resize(ask).await?;
        self.check_attest(ask)?;
        if let (Operation::Create, true, Some(doc), certificates::RESOURCE) =
            (ask.operation, ask.is_main(), &ask.object, ask.resource())
        {
            certificates::restrict_subject(ask.key, doc)?;
        }
        self.check_policies(ask).await?;
        self.validating_webhooks(ask).await?;
        self.charge_quotas(ask, charges).await
    }
}
