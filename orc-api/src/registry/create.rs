//! Creation.

use std::sync::Arc;

use orc_core::{ApiError, Doc, Name, ObjectKey};
use orc_store::Stored;
use orc_store::backend::Expect;
use orc_store::client::{Freshness, Outcome, Scope, WriteOptions, Written};
use orc_store::local::rules;

use super::Registry;
use super::admission::{self, Charges};
use super::kind::Kind;
use super::ownership::Writer;
use crate::admission::Operation;
use crate::identity::Identity;

/// How often another generated name is tried (kube-apiserver tries eight times as well).
const NAME_TRIES: usize = 8;

impl Registry {
    /// Creates an object under a name of the client's.
    pub(super) async fn create(
        &self,
        key: &ObjectKey,
        prefix: Option<&str>,
        doc: Doc,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        self.create_owned(key, prefix, doc, options, who, false).await
    }

    /// Creates an object; `owned` says that the document carries its `managedFields` already.
    pub(super) async fn create_owned(
        &self,
        key: &ObjectKey,
        prefix: Option<&str>,
        doc: Doc,
        options: &WriteOptions,
        who: &Identity,
        owned: bool,
    ) -> Result<Written, ApiError> {
        let kind = self.kind_in(&key.resource, options.version.as_deref())?;
        kind.may_create()?;
        let (mut doc, mut warnings) = kind.decode(doc, options, None)?;
        kind.canonical(&mut doc);
        if doc.str_at(&["metadata", "resourceVersion"]).is_some_and(|text| !text.is_empty()) {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        if let Some(prefix) = prefix {
            doc.set(&["metadata", "generateName"], prefix);
        }
        kind.rules.default(doc.value_mut());
        if !doc.at(&["metadata", "managedFields"]).is_some_and(|_| owned) {
            kind.own_created(&mut doc, &Writer { options, who, sub: "", now: self.system.clock.now() })?;
        }
        // The identity comes first: a Job's selector is made of its uid.
        rules::stamp_new(&mut doc, key, self.system.ids.uid(), self.system.clock.now());
        let mut ask = admission::attributes(Operation::Create, &kind, key, "", who, options);
        ask.object = Some(doc);
        self.mutate(&kind, &mut ask).await?;
        let mut doc = ask.object.take().unwrap_or_default();
        kind.rules.default(doc.value_mut());
        kind.rules.prepare_create(doc.value_mut());
        ask.object = Some(doc);
        self.stamp_marks(&mut ask);
        let mut doc = ask.object.take().unwrap_or_default();
        if kind.rules.generation() {
            rules::start_generation(&mut doc);
        }
        let plan = self.plan_claims(key, &mut doc, None)?;
        kind.check(&doc, &kind.rules.validate_create(doc.value()))?;
        warnings.append(&mut ask.warnings);
        warnings.extend(kind.rules.warnings(doc.value(), None));
        kind.written(&mut doc);
        ask.object = Some(doc);
        self.validate(&mut ask, &mut Charges::default()).await?;
        warnings.append(&mut ask.warnings);
        let mut doc = ask.object.take().unwrap_or_default();
        if options.dry_run {
            return Ok(Written { outcome: Outcome::Unsaved(doc), code: 201, warnings });
        }
        let claim = self.take_claims(key, &mut doc, plan).await?;
        let doc = self.store_form(&kind, doc).await?;
        let committed = self.store.commit(key, Some(doc.to_body()), Expect::Absent, None).await?;
        claim.keep().await;
        Ok(Written { outcome: Outcome::Persisted(committed.stored), code: 201, warnings })
    }

    /// Creates an object under a name made from a prefix.
    pub(super) async fn create_generated(
        &self,
        scope: &Scope,
        prefix: &str,
        doc: Doc,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let mut last = None;
        for _ in 0..NAME_TRIES {
            let name = Name::from(self.system.ids.generate(prefix));
            let key = ObjectKey { resource: scope.resource.clone(), namespace: scope.namespace.clone(), name };
            match self.create(&key, Some(prefix), doc.clone(), options, who).await {
                Err(error) if error.is_already_exists() => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| ApiError::internal("no name was tried")))
    }

    /// The present state of an object, as a document without its revision, or 404.
    pub(super) async fn current(&self, kind: &Kind, key: &ObjectKey) -> Result<(Arc<Stored>, Doc), ApiError> {
        let stored = self.stored(kind, key).await?;
        let doc = self.spoken(kind, &stored).await?;
        Ok((stored, doc))
    }

    /// The present state of an object as it is stored, or 404.
    pub(super) async fn stored(&self, kind: &Kind, key: &ObjectKey) -> Result<Arc<Stored>, ApiError> {
        let stored = self.store.get(key, Freshness::Latest).await?;
        stored.ok_or_else(|| kind.not_found(key))
    }

    /// An object in the version that the kind is spoken in, without its revision.
    pub(super) async fn spoken(&self, kind: &Kind, stored: &Arc<Stored>) -> Result<Doc, ApiError> {
        let mut docs = self.speak(kind, std::slice::from_ref(stored)).await?;
        docs.pop().ok_or_else(|| ApiError::internal("an object was lost in its conversion"))
    }
}
