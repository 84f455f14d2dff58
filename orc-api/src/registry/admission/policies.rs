//! Validating and mutating admission policies in the write loop.

use orc_core::error::{Cause, Details};
use orc_core::labels::Selector;
use orc_core::{ApiError, Doc, ObjectKey, Reason};
use orc_store::client::{Freshness, ListOptions, Scope, Selection};
use serde_json::{Value, json};

use super::super::Registry;
use crate::admission::policy::{Binding, COST_BUDGET, Failure, Policy};
use crate::admission::{Attributes, matching, variables};
use crate::cel::{self, Budget};
use crate::registry::kind::Kind;

impl Registry {
    /// Evaluates the policies that are bound to a request.
    ///
    /// # Errors
    /// The first failure of a binding that denies, with its reason.
    pub(super) async fn check_policies(&self, ask: &mut Attributes<'_>) -> Result<(), ApiError> {
        let policies = self.configs.now().policies(false, &ask.info.plural);
        if policies.is_empty() || matching::is_exempt(ask) {
            return Ok(());
        }
        let namespace = self.namespace_of(ask).await?;
        let labels = namespace.as_ref().map(|namespace| namespace.pointer("/metadata/labels").unwrap_or(&Value::Null));
        let activation = variables::activation(ask, &self.authorizer, namespace.as_ref());
        let mut denied: Option<ApiError> = None;
        for (policy, binding) in policies {
            if policy.matcher.matches(ask, labels).is_none() || binding.matcher.matches(ask, labels).is_none() {
                continue;
            }
            let params = match self.params(&policy, &binding, ask).await {
                Ok(params) => params,
                Err(_) if policy.ignore_failure => continue,
                Err(why) => {
                    let failure = Failure { message: why, reason: "Forbidden".to_owned() };
                    act(ask, &policy, &binding, failure, &mut denied);
                    continue;
                }
            };
            for param in params {
                let activation =
                    activation.clone().with("params", param.as_ref().map_or(cel::Value::Null, cel::convert::from_json));
                match policy.conditions.hold(&activation, &mut Budget::new(COST_BUDGET / 4)) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(_) if policy.ignore_failure => continue,
                    Err(message) => {
                        act(ask, &policy, &binding, Failure { message, reason: "Invalid".to_owned() }, &mut denied);
                        continue;
                    }
                }
                let (failures, notes) = policy.evaluate(activation);
                ask.audit.extend(notes);
                failures.into_iter().for_each(|failure| act(ask, &policy, &binding, failure, &mut denied));
            }
        }
        denied.map_or(Ok(()), Err)
    }

    /// Applies the mutating policies that are bound to a request, by their names; says whether one changed the object. With
    /// `again`, only those that ask for it.
    ///
    /// # Errors
    /// 403 when a mutation fails and its policy's `failurePolicy` is `Fail`.
    pub(super) async fn mutating_policies(
        &self,
        kind: &Kind,
        ask: &mut Attributes<'_>,
        again: bool,
    ) -> Result<bool, ApiError> {
        let policies = self.configs.now().policies(true, &ask.info.plural);
        if policies.is_empty() || ask.object.is_none() || matching::is_exempt(ask) {
            return Ok(false);
        }
        let before = ask.object.clone();
        for (policy, binding) in policies.into_iter().filter(|(policy, _)| policy.reinvoke || !again) {
            if let Err(why) = self.mutate_by(kind, ask, &policy, &binding).await
                && !policy.ignore_failure
            {
                let (policy, binding) = (&policy.name, &binding.name);
                return Err(ask.forbid(format!("policy '{policy}' with binding '{binding}' denied request: {why}")));
            }
        }
        Ok(ask.object != before)
    }

    async fn mutate_by(
        &self,
        kind: &Kind,
        ask: &mut Attributes<'_>,
        policy: &Policy,
        binding: &Binding,
    ) -> Result<(), String> {
        let namespace = self.namespace_of(ask).await.map_err(|error| error.to_string())?;
        let labels = namespace.as_ref().map(|namespace| namespace.pointer("/metadata/labels").unwrap_or(&Value::Null));
        if policy.matcher.matches(ask, labels).is_none() || binding.matcher.matches(ask, labels).is_none() {
            return Ok(());
        }
        for param in self.params(policy, binding, ask).await? {
            let param = param.as_ref().map_or(cel::Value::Null, cel::convert::from_json);
            let activation = variables::activation(ask, &self.authorizer, namespace.as_ref()).with("params", param);
            if !policy.conditions.hold(&activation, &mut Budget::new(COST_BUDGET / 4))? {
                continue;
            }
            let Some(doc) = ask.object.as_mut() else { return Ok(()) };
            let mut next = doc.clone();
            let place = kind.place_of(&next);
            policy.mutate(next.value_mut(), place, activation)?;
            if ask.subresource.is_empty() {
                let checked = orc_core::schema::check(next.value(), kind.message).map_err(|error| error.to_string())?;
                next = Doc::from_value(checked.value).map_err(|error| error.to_string())?;
                kind.canonical(&mut next);
                kind.rules.default(next.value_mut());
            }
            *doc = next;
        }
        Ok(())
    }

    /// The parameters of a binding: one evaluation for each; a single null where the policy takes none or none is needed.
    async fn params(
        &self,
        policy: &Policy,
        binding: &Binding,
        ask: &Attributes<'_>,
    ) -> Result<Vec<Option<Value>>, String> {
        let (Some((api_version, kind)), Some(reference)) = (&policy.params, &binding.param_ref) else {
            return Ok(vec![None]);
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let served = self.catalogue().by_kind(group, version, kind);
        let unknown = || {
            format!(
                "failed to configure policy: failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"
            )
        };
        let info = served.ok_or_else(unknown)?.info;
        let id = info.id.clone().ok_or_else(unknown)?;
        let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
        let namespace = match (info.is_namespaced(), text("namespace")) {
            (false, _) => None,
            (true, "") => Some(ask.key.namespace.clone().ok_or("failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")?),
            (true, given) => Some(given.into()),
        };
        let found: Vec<Value> = if text("name").is_empty() {
            let labels = Selector::from_value(&reference["selector"]).map_err(|error| error.to_string())?;
            let select = Selection { labels, ..Selection::default() };
            let options = ListOptions { select, freshness: Freshness::Any, ..ListOptions::default() };
            let items =
                self.store.list(&Scope { resource: id, namespace }, &options).await.map_err(|e| e.to_string())?.items;
            items.iter().filter_map(|item| item.to_doc().ok()).map(Doc::into_value).collect()
        } else {
            let key = ObjectKey { resource: id, namespace, name: text("name").into() };
            let found = self.store.find(&key).await.map_err(|error| error.to_string())?;
            found.and_then(|stored| stored.to_doc().ok()).map(Doc::into_value).into_iter().collect()
        };
        if found.is_empty() && text("parameterNotFoundAction") == "Deny" {
            return Err(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
                    .to_owned(),
            );
        }
        Ok(found.into_iter().map(Some).collect())
    }
}

/// Does what a binding wants done with a failure.
fn act(ask: &mut Attributes<'_>, policy: &Policy, binding: &Binding, failure: Failure, denied: &mut Option<ApiError>) {
    let (policy, name) = (&policy.name, &binding.name);
    for action in &binding.actions {
        match action.as_str() {
            "Warn" => ask.warnings.push(format!(
                "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{name}': {}",
                failure.message
            )),
            "Audit" => {
                let note = json!([{"message": failure.message, "policy": policy, "binding": name, "validationActions": binding.actions}]);
                ask.audit.push(("validation.policy.admission.k8s.io/validation_failure".to_owned(), note.to_string()));
            }
            _ if denied.is_none() => {
                let why = format!(
                    "ValidatingAdmissionPolicy '{policy}' with binding '{name}' denied request: {}",
                    failure.message
                );
                *denied = Some(refuse(ask, why, &failure.reason));
            }
            _ => {}
        }
    }
}

/// A 403 in words whose reason, code and cause are those of the validation.
fn refuse(ask: &Attributes<'_>, why: String, reason: &str) -> ApiError {
    let words = ask.forbid(&why);
    let reason = match reason {
        "Forbidden" => Reason::Forbidden,
        "Unauthorized" => Reason::Unauthorized,
        "RequestEntityTooLarge" => Reason::RequestEntityTooLarge,
        _ => Reason::Invalid,
    };
    let cause = Cause { message: why, ..Cause::default() };
    let details = Details { causes: vec![cause], ..words.details().cloned().unwrap_or_default() };
    ApiError::new(reason, words.message()).with_details(details)
}
