//! Replacement, patches and in-process modification: one loop for all three.

use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::Stored;
use orc_store::backend::Expect;
use orc_store::client::{Intent, Outcome, PatchKind, Subresource, WriteOptions, Written};
use orc_store::local::rules;

use super::admission::{self, Charges};
use super::kind::Kind;
use super::ownership::Writer;
use super::versions::Conversions;
use super::{MAX_TRIES, Registry};
use crate::admission::Operation;
use crate::identity::Identity;

/// An update that is ready to be committed.
pub(super) struct Prepared {
    pub(super) doc: Doc,
    pub(super) warnings: Vec<String>,
    /// The client named the revision it read, so that losing a race is its business.
    pub(super) pinned: bool,
}

impl Registry {
    pub(super) async fn update(
        &self,
        key: &ObjectKey,
        sub: Option<&Subresource>,
        intent: &Intent,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let sub = sub.map(Subresource::as_str);
        self.update_as(key, sub, sub, intent, options, who).await
    }

    /// Updates an object; `label` is the sub-resource that `managedFields` names, which for a scale is not the one whose
    /// rules apply.
    pub(super) async fn update_as(
        &self,
        key: &ObjectKey,
        sub: Option<&str>,
        label: Option<&str>,
        intent: &Intent,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let kind = self.kind_in(&key.resource, options.version.as_deref())?;
        let mut charges = Charges::default();
        for _ in 0..MAX_TRIES {
            let (stored, current) = match self.current(&kind, key).await {
                Err(error) if error.is_not_found() && sub.is_none() => {
                    return self.create_instead(&kind, key, intent, options, who, error).await;
                }
                other => other?,
            };
            let writer = Writer { options, who, sub: label.unwrap_or_default(), now: self.system.clock.now() };
            let prepared = self.prepare(&kind, &stored, &current, sub, intent, &writer, &mut charges).await?;
            match self.commit_update(&kind, key, &stored, &current, prepared, options).await {
                Ok(written) => return Ok(written),
                Err((error, true)) if error.is_conflict() => continue,
                Err((error, _)) => return Err(error),
            }
        }
        Err(ApiError::stale(&kind.info.group, &kind.info.plural, &key.name))
    }

    /// A PUT to a name that does not exist creates it, for the kinds that allow it.
    async fn create_instead(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        intent: &Intent,
        options: &WriteOptions,
        who: &Identity,
        missing: ApiError,
    ) -> Result<Written, ApiError> {
        match intent {
            Intent::Replace(doc) if kind.rules.allow_create_on_update() => {
                self.create(key, None, doc.clone(), options, who).await
            }
            Intent::Patch(PatchKind::Apply, bytes) => {
                let writer = Writer { options, who, sub: "", now: self.system.clock.now() };
                let (config, versions) = (super::patch::read(bytes)?, Conversions::still(kind));
                let made = kind.apply_config(None, &config, &key.name, &writer, &versions)?;
                let doc = made.map_err(|_| ApiError::internal("a new object is not converted"))?;
                self.create_owned(key, None, doc, options, who, true).await
            }
            _ => Err(missing),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of the loop, with all that it has read")]
    async fn prepare(
        &self,
        kind: &Kind,
        stored: &Stored,
        current: &Doc,
        sub: Option<&str>,
        intent: &Intent,
        writer: &Writer<'_>,
        charges: &mut Charges,
    ) -> Result<Prepared, ApiError> {
        let options = writer.options;
        rules::check_preconditions(stored, &options.preconditions)?;
        let applied = match intent {
            Intent::Patch(PatchKind::Apply, bytes) => {
                let config = super::patch::read(bytes)?;
                Some(self.applied(kind, current, &config, &stored.key.name, writer).await?)
            }
            _ => None,
        };
        let applies = applied.is_some();
        let wanted = applied.map_or_else(|| kind.apply(stored, current, intent), Ok)?;
        let demanded = rules::demanded_revision(&wanted)?;
        self.check_demand(kind, stored, current, &wanted, intent)?;
        if let Some(demanded) = demanded
            && demanded != stored.revision
        {
            return Err(ApiError::stale(&kind.info.group, &kind.info.plural, &stored.key.name));
        }
        let (mut doc, mut warnings) = match intent {
            Intent::Patch(how, bytes) => kind.decode_patched(wanted, current, options, (*how, bytes.as_ref()))?,
            _ => kind.decode(wanted, options, None)?,
        };
        kind.canonical(&mut doc);
        kind.rules.default(doc.value_mut());
        if !applies {
            self.own_changed(kind, current, &mut doc, writer).await;
        }
        for field in ["resourceVersion", "selfLink"] {
            doc.metadata_mut().remove(field);
        }
        let sub_name = if writer.sub == "scale" { writer.sub } else { sub.unwrap_or_default() };
        let mut ask = admission::attributes(Operation::Update, kind, &stored.key, sub_name, writer.who, options);
        ask.old = Some(current);
        ask.object = Some(doc);
        self.mutate(kind, &mut ask).await?;
        let mut doc = ask.object.take().unwrap_or_default();
        kind.rules.default(doc.value_mut());
        kind.rules.prepare_update(doc.value_mut(), current.value(), sub);
        let (errors, told) = kind.rules.judge_update(doc.value(), current.value(), sub);
        kind.check(&doc, &errors)?;
        warnings.append(&mut ask.warnings);
        warnings.extend(told);
        ask.object = Some(doc);
        self.validate(&mut ask, charges).await?;
        warnings.append(&mut ask.warnings);
        let doc = ask.object.take().unwrap_or_default();
        Ok(Prepared { doc, warnings, pinned: demanded.is_some() && !matches!(intent, Intent::Modify(_)) })
    }

    fn check_demand(
        &self,
        kind: &Kind,
        stored: &Stored,
        current: &Doc,
        wanted: &Doc,
        intent: &Intent,
    ) -> Result<(), ApiError> {
        let uid = wanted.str_at(&["metadata", "uid"]).unwrap_or_default();
        let have = current.str_at(&["metadata", "uid"]).unwrap_or_default();
        if matches!(intent, Intent::Replace(_)) && !uid.is_empty() && uid != have {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}");
            return Err(ApiError::conflict(&kind.info.group, &kind.info.plural, &stored.key.name, why));
        }
        Ok(())
    }

    /// Commits; the flag of a failure says whether the loop may try again on the newer state.
    pub(super) async fn commit_update(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        stored: &std::sync::Arc<Stored>,
        current: &Doc,
        prepared: Prepared,
        options: &WriteOptions,
    ) -> Result<Written, (ApiError, bool)> {
        let Prepared { mut doc, warnings, pinned } = prepared;
        let plan = self.plan_claims(key, &mut doc, Some(current)).map_err(|e| (e, false))?;
        kind.written(&mut doc);
        if super::ownership::only_times(current, &doc) {
            doc = current.clone();
        }
        if options.dry_run {
            doc.set(&["metadata", "resourceVersion"], stored.revision.to_string());
            return Ok(Written { outcome: Outcome::Unsaved(doc), code: 200, warnings });
        }
        if rules::is_ready_to_go(&doc) && no_spec_finalizers(&doc) {
            self.remove(key, stored.revision).await.map_err(|e| (e, !pinned))?;
            // The answer is what the update made of the object, which was never stored.
            doc.set(&["metadata", "resourceVersion"], stored.revision.to_string());
            return Ok(Written { outcome: Outcome::Unsaved(doc), code: 200, warnings });
        }
        let claim = self.take_claims(key, &mut doc, plan).await.map_err(|e| (e, false))?;
        let doc = self.store_form(kind, doc).await.map_err(|e| (e, false))?;
        let body = doc.to_body();
        if body == stored.body {
            return Ok(Written { outcome: Outcome::Persisted(stored.clone()), code: 200, warnings });
        }
        let committed =
            self.store.commit(key, Some(body), Expect::At(stored.revision), None).await.map_err(|e| (e, !pinned))?;
        claim.keep().await;
        Ok(Written { outcome: Outcome::Persisted(committed.stored), code: 200, warnings })
    }
}

/// Namespaces also wait for the finalizers of their spec.
pub(super) fn no_spec_finalizers(doc: &Doc) -> bool {
    doc.kind() != "Namespace" || doc.at(&["spec", "finalizers"]).and_then(|v| v.as_array()).is_none_or(Vec::is_empty)
}
