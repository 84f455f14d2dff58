//! The write loop: read, apply the intent, commit if nothing changed meanwhile.

use std::sync::Arc;

use orc_core::{ApiError, Doc, ObjectKey, Reason};

use super::LocalClient;
use super::deletion::{DeletionRules, DeletionStep, deletion_step};
use super::rules::{self, Part};
use crate::backend::Expect;
use crate::client::{
    DeleteOptions, Freshness, Intent, ListOptions, Outcome, PatchKind, Preconditions, Scope, Target, WriteOptions,
    WriteRequest, Written,
};
use crate::stored::Stored;

/// Attempts of a write that leaves the revision open. Kubernetes tries without bound until the request's deadline; so many
/// lost races in a row mean something is wrong.
const ATTEMPTS: usize = 64;
/// Names tried for `generateName`, as Kubernetes does.
const NAMES: usize = 8;

impl LocalClient {
    pub(super) async fn write_request(&self, request: WriteRequest) -> Result<Written, ApiError> {
        let WriteRequest { target, intent, options } = request;
        match (target, intent) {
            (Target::Named(key, None), Intent::Create(doc)) => self.create(key, doc, &options).await,
            (Target::Generated { scope, prefix }, Intent::Create(doc)) => {
                self.generate(&scope, &prefix, doc, &options).await
            }
            (Target::Named(key, None), Intent::Delete(delete)) => self.delete(&key, &delete, &options).await,
            (Target::Collection(scope), Intent::DeleteCollection(delete, list)) => {
                self.delete_all(&scope, &delete, *list, &options).await
            }
            (Target::Collection(scope), Intent::Delete(delete)) => {
                self.delete_all(&scope, &delete, ListOptions::default(), &options).await
            }
            (Target::Named(key, sub), intent @ (Intent::Replace(_) | Intent::Patch(..) | Intent::Modify(_))) => {
                let part = self.part(&key.resource, sub.as_ref())?;
                self.update(&key, part, &intent, &options).await
            }
            (target, intent) => {
                let resource = target.resource();
                Err(ApiError::method_not_allowed(resource.group(), resource.plural(), &format!("{intent:?}")))
            }
        }
    }

    async fn create(&self, key: ObjectKey, mut doc: Doc, options: &WriteOptions) -> Result<Written, ApiError> {
        check_place(&key, &doc)?;
        if doc.str_at(&["metadata", "resourceVersion"]).is_some_and(|text| !text.is_empty()) {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        rules::stamp_new(&mut doc, &key, self.ids.uid(), self.clock.now());
        rules::start_generation(&mut doc);
        if self.part(&key.resource, None)? == Part::Main {
            doc.remove(&["status"]);
        }
        if options.dry_run {
            if self.store.get(&key, Freshness::Latest).await?.is_some() {
                return Err(ApiError::already_exists(key.resource.group(), key.resource.plural(), &key.name));
            }
            return Ok(written(Outcome::Unsaved(doc), 201));
        }
        let committed = self.store.commit(&key, Some(doc.to_body()), Expect::Absent, None).await?;
        Ok(written(Outcome::Persisted(committed.stored), 201))
    }

    async fn generate(
        &self,
        scope: &Scope,
        prefix: &str,
        doc: Doc,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        for _ in 0..NAMES {
            let name = self.ids.generate(prefix).into();
            let key = ObjectKey { resource: scope.resource.clone(), namespace: scope.namespace.clone(), name };
            match self.create(key, doc.clone(), options).await {
                Err(error) if error.is_already_exists() => {}
                other => return other,
            }
        }
        Err(ApiError::already_exists(scope.resource.group(), scope.resource.plural(), prefix).with_retry_after(1))
    }

    /// Replaces, patches or modifies.
    async fn update(
        &self,
        key: &ObjectKey,
        part: Part,
        intent: &Intent,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        for _ in 0..ATTEMPTS {
            let current = self.store.require(key, Freshness::Latest).await?;
            match self.attempt(&current, part, intent, options).await {
                Err(Lost::Race(error)) if error.reason() != Reason::Conflict => return Err(error),
                Err(Lost::Race(_)) => {}
                Err(Lost::Refused(error)) => return Err(error),
                Ok(written) => return Ok(written),
            }
        }
        Err(ApiError::stale(key.resource.group(), key.resource.plural(), &key.name))
    }

    async fn attempt(
        &self,
        current: &Arc<Stored>,
        part: Part,
        intent: &Intent,
        options: &WriteOptions,
    ) -> Result<Written, Lost> {
        let key = &current.key;
        rules::check_preconditions(current, &options.preconditions)?;
        let now = current.to_doc()?;
        let wanted = apply(&now, intent)?;
        check_place(key, &wanted)?;
        check_demands(current, &wanted)?;
        let mut next = rules::merge_update(&now, wanted, part);
        if part != Part::Status {
            rules::check_finalizers(&now, &next)?;
            rules::bump_generation(&now, &mut next);
        }
        if options.dry_run {
            return Ok(written(Outcome::Unsaved(next), 200));
        }
        if rules::is_ready_to_go(&next) {
            let committed =
                self.store.commit(key, None, Expect::At(current.revision), None).await.map_err(Lost::Race)?;
            return Ok(written(Outcome::Persisted(committed.stored), 200));
        }
        let body = next.to_body();
        if body == current.body {
            return Ok(written(Outcome::Persisted(current.clone()), 200));
        }
        let committed =
            self.store.commit(key, Some(body), Expect::At(current.revision), None).await.map_err(Lost::Race)?;
        Ok(written(Outcome::Persisted(committed.stored), 200))
    }

    async fn delete(
        &self,
        key: &ObjectKey,
        delete: &DeleteOptions,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        for _ in 0..ATTEMPTS {
            let current = self.store.require(key, Freshness::Latest).await?;
            rules::check_preconditions(&current, &delete.preconditions)?;
            rules::check_preconditions(&current, &options.preconditions)?;
            let step = deletion_step(&current.to_doc()?, delete, &DeletionRules::default(), self.clock.now())?;
            if options.dry_run {
                return Ok(written(Outcome::Persisted(current), 200));
            }
            let body = match step {
                DeletionStep::Nothing => return Ok(written(Outcome::Persisted(current), 200)),
                DeletionStep::Now => None,
                DeletionStep::Mark(doc) => Some(doc.to_body()),
            };
            let expect = Expect::At(current.revision);
            match self.store.commit(key, body, expect, None).await {
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
                Ok(committed) => return Ok(written(Outcome::Persisted(committed.stored), 200)),
            }
        }
        Err(ApiError::stale(key.resource.group(), key.resource.plural(), &key.name))
    }

    async fn delete_all(
        &self,
        scope: &Scope,
        delete: &DeleteOptions,
        list: ListOptions,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let mut taken = Vec::new();
        for stored in self.store.list(scope, &list).await?.items {
            // The object that was listed, not another one of its name.
            let uid = Some(stored.head.uid.to_string());
            let preconditions = Preconditions { uid, ..delete.preconditions.clone() };
            let one = DeleteOptions { preconditions, ..delete.clone() };
            match self.delete(&stored.key, &one, options).await {
                Ok(_) => taken.push(stored),
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written(Outcome::Collection(taken), 200))
    }
}

/// Why an attempt failed: somebody else was faster, or the write is refused whatever the state.
enum Lost {
    Race(ApiError),
    Refused(ApiError),
}

impl From<ApiError> for Lost {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// Applies an intent to the present document.
fn apply(now: &Doc, intent: &Intent) -> Result<Doc, ApiError> {
    match intent {
        Intent::Replace(doc) => Ok(doc.clone()),
        Intent::Modify(modify) => {
            let mut doc = now.clone();
            modify(&mut doc)?;
            Ok(doc)
        }
        Intent::Patch(PatchKind::Json, patch) => super::patching::json(now, patch),
        Intent::Patch(PatchKind::Merge, patch) => super::patching::merge(now, patch),
        Intent::Patch(PatchKind::Strategic | PatchKind::Apply, _) => Err(ApiError::new(
            Reason::UnsupportedMediaType,
            "the local client accepts application/json-patch+json and application/merge-patch+json; \
             strategic merge patch and server-side apply need the registry",
        )),
        Intent::Create(_) | Intent::Delete(_) | Intent::DeleteCollection(..) => {
            Err(ApiError::internal("not a change of a present object"))
        }
    }
}

/// The document's own name and namespace, where it has them, must be the key's.
fn check_place(key: &ObjectKey, doc: &Doc) -> Result<(), ApiError> {
    if !doc.name().is_empty() && key.name != *doc.name() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            doc.name(),
            key.name
        )));
    }
    if !doc.namespace().is_empty() && key.namespace_str() != doc.namespace() {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// The document's own uid and revision, where it has them, must be the object's.
fn check_demands(current: &Stored, wanted: &Doc) -> Result<(), ApiError> {
    let key = &current.key;
    let uid = wanted.str_at(&["metadata", "uid"]).filter(|uid| !uid.is_empty()).map(str::to_owned);
    rules::check_preconditions(current, &Preconditions { uid, revision: None })?;
    match rules::demanded_revision(wanted)? {
        Some(demanded) if demanded != current.revision => {
            Err(ApiError::stale(key.resource.group(), key.resource.plural(), &key.name))
        }
        _ => Ok(()),
    }
}

fn written(outcome: Outcome, code: u16) -> Written {
    Written { outcome, code, warnings: Vec::new() }
}
