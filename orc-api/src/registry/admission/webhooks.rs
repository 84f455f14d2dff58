//! Mutating and validating webhooks in the write loop.

use std::sync::Arc;

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use serde_json::Value;

use super::super::Registry;
use crate::admission::webhook::{Hook, Verdict};
use crate::admission::{Attributes, matching, variables};
use crate::cel::Budget;
use crate::registry::kind::Kind;

/// The most that the match conditions of one webhook may cost (a fourth of a policy's budget, as upstream).
const CONDITIONS_BUDGET: u64 = 2_500_000;

impl Registry {
    /// The namespace that a request is in, or that it is: its tree. `None` for other requests outside of namespaces.
    pub(super) async fn namespace_of(&self, ask: &Attributes<'_>) -> Result<Option<Value>, ApiError> {
        if ask.resource() == "namespaces" {
            let own = if ask.object.is_some() { ask.new_value() } else { ask.old_value() };
            return Ok(Some(own.clone()));
        }
        let Some(namespace) = &ask.key.namespace else { return Ok(None) };
        let key = ObjectKey::cluster(ResourceId::new("", "namespaces"), namespace.clone());
        let found = self.store.find(&key).await?;
        Ok(Some(found.map(|stored| stored.to_doc()).transpose()?.unwrap_or_default().into_value()))
    }

    /// Calls the mutating webhooks one after the other; says whether one changed the object. With `again`, only those that
    /// ask for it and whose result others have changed since.
    pub(super) async fn mutating_webhooks(
        &self,
        kind: &Kind,
        ask: &mut Attributes<'_>,
        seen: &mut Vec<((String, usize), Doc)>,
        again: bool,
    ) -> Result<bool, ApiError> {
        let hooks = self.configs.now().hooks(true, &ask.info.plural);
        if hooks.is_empty() || matching::is_exempt(ask) {
            return Ok(false);
        }
        let namespace = self.namespace_of(ask).await?;
        let mut changed = false;
        for hook in hooks {
            let last = seen.iter().find(|(order, _)| *order == hook.order).map(|(_, doc)| doc);
            if again && !(hook.reinvoke && last.is_some() && last != ask.object.as_ref()) {
                continue;
            }
            let Some(version) = self.applies(&hook, ask, namespace.as_ref())? else { continue };
            let verdict = self.webhooks.load().ask(&hook, ask, &version, &self.system.ids.uid(), true).await?;
            let patch = verdict.patch.clone();
            settle(ask, verdict)?;
            if let (Some(patch), Some(doc)) = (patch, ask.object.as_mut()) {
                changed |= apply(kind, ask.subresource.is_empty(), &hook, doc, &patch)?;
            }
            if let Some(doc) = &ask.object {
                seen.retain(|(order, _)| *order != hook.order);
                seen.push((hook.order.clone(), doc.clone()));
            }
        }
        Ok(changed)
    }

    /// Calls the validating webhooks, all at once; the first refusal in their order counts.
    pub(super) async fn validating_webhooks(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        let hooks = self.configs.now().hooks(false, &ask.info.plural);
        if hooks.is_empty() || matching::is_exempt(ask) {
            return Ok(());
        }
        let namespace = self.namespace_of(ask).await?;
        let mut wanted: Vec<(Arc<Hook>, String, String)> = Vec::new();
        for hook in hooks {
            if let Some(version) = self.applies(&hook, ask, namespace.as_ref())? {
                wanted.push((hook, version, self.system.ids.uid()));
            }
        }
        let client = self.webhooks.load_full();
        let asked: &Attributes<'_> = ask;
        let calls = wanted.iter().map(|(hook, version, uid)| client.ask(hook, asked, version, uid, false));
        let verdicts = futures::future::join_all(calls).await;
        for verdict in verdicts {
            settle(ask, verdict?)?;
        }
        Ok(())
    }

    /// The version in which a webhook is asked, `None` when it is not.
    fn applies(
        &self,
        hook: &Hook,
        ask: &Attributes<'_>,
        namespace: Option<&Value>,
    ) -> Result<Option<String>, ApiError> {
        let labels = namespace.map(|namespace| namespace.pointer("/metadata/labels").unwrap_or(&Value::Null));
        let Some(version) = hook.matcher.matches(ask, labels) else { return Ok(None) };
        if !hook.conditions.is_empty() {
            let activation = variables::activation(ask, &self.authorizer, None);
            match hook.conditions.hold(&activation, &mut Budget::new(CONDITIONS_BUDGET)) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(_) if hook.ignore_failure => return Ok(None),
                Err(why) => return Err(ask.forbid(why)),
            }
        }
        Ok(Some(version.into_owned()))
    }
}

fn settle(ask: &mut Attributes<'_>, verdict: Verdict) -> Result<(), ApiError> {
    ask.warnings.extend(verdict.warnings);
    ask.audit.extend(verdict.audit);
    verdict.denied.map_or(Ok(()), Err)
}

/// Applies a webhook's patch; what it makes must still be an object of the kind.
fn apply(kind: &Kind, main: bool, hook: &Hook, doc: &mut Doc, patch: &Value) -> Result<bool, ApiError> {
    let before = doc.clone();
    orc_core::patch::apply_json(doc.value_mut(), patch).map_err(ApiError::internal)?;
    if !main {
        return Ok(*doc != before);
    }
    let decoded = orc_core::schema::check(doc.value(), kind.message).map_err(|error| {
        ApiError::internal(format!(
            "failed calling webhook {:?}: the patched object does not decode: {error}",
            hook.name
        ))
    })?;
    let mut next = Doc::from_value(decoded.value)?;
    kind.canonical(&mut next);
    kind.rules.default(next.value_mut());
    *doc = next;
    Ok(*doc != before)
}
