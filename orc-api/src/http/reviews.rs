//! Reviews: questions about identities and permissions, answered and not stored.

use http::Response;
use orc_core::labels::{FieldRequirement, FieldSelector};
use orc_core::validation::{FieldError, FieldPath};
use orc_core::{ApiError, Doc};
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use super::request::Resolved;
use super::service::ApiService;
use super::{Body, respond};
use crate::identity::{ANONYMOUS, Identity};
use crate::rbac::{Attributes, PolicyRule};

const GROUP: &str = "authorization.k8s.io";

impl ApiService {
    /// Answers a review of the resource that the call names; `None` when it is no review.
    ///
    /// # Errors
    /// 422 for a question that makes no sense.
    pub(super) async fn review(
        &self,
        who: &Identity,
        info: &Resolved,
        mut doc: Doc,
    ) -> Result<Option<Response<Body>>, ApiError> {
        let status = match info.resource.as_str() {
            "selfsubjectreviews" => {
                doc.set(&["metadata", "creationTimestamp"], timestamp(self.config().clock.now()));
                self_subject(who)?
            }
            "tokenreviews" => self.token_review(&doc).await?,
            "subjectaccessreviews" => self.access(&doc, &asker(&doc)?)?,
            "localsubjectaccessreviews" => {
                local(&mut doc, &info.namespace)?;
                self.access(&doc, &asker(&doc)?)?
            }
            "selfsubjectaccessreviews" => self.access(&doc, who)?,
            "selfsubjectrulesreviews" => self.rules(&doc, who)?,
            _ => return Ok(None),
        };
        doc.set(&["status"], status);
        if doc.at(&["metadata"]).is_none() {
            doc.metadata_mut();
        }
        Ok(Some(respond::json(201, doc.value())))
    }

    async fn token_review(&self, doc: &Doc) -> Result<Value, ApiError> {
        let token = doc.str_at(&["spec", "token"]).unwrap_or_default();
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let listed = doc.at(&["spec", "audiences"]).and_then(Value::as_array).into_iter().flatten();
        let mut wanted: Vec<String> = listed.filter_map(Value::as_str).map(str::to_owned).collect();
        let own = self.config().registry.signer().audiences();
        if wanted.is_empty() {
            wanted = own.to_vec();
        }
        for authenticator in &self.config().tokens {
            if let Some((who, audiences)) = authenticator.authenticate_for(token, &wanted, own).await {
                return Ok(json!({"authenticated": true, "user": user_info(&who), "audiences": audiences}));
            }
        }
        let fits = wanted.iter().any(|wanted| own.contains(wanted));
        let why = if fits { "invalid bearer token" } else { "[invalid bearer token, token audiences do not fit]" };
        Ok(json!({"user": {}, "error": why}))
    }

    fn access(&self, doc: &Doc, who: &Identity) -> Result<Value, ApiError> {
        check_attributes(doc)?;
        let text = |path: &[&str]| doc.str_at(path).unwrap_or_default();
        let of = |field: &str| text(&["spec", "resourceAttributes", field]);
        let (fields, broken) = field_selector(doc);
        let asks = Attributes {
            verb: if doc.at(&["spec", "resourceAttributes"]).is_some_and(|v| !v.is_null()) {
                of("verb")
            } else {
                text(&["spec", "nonResourceAttributes", "verb"])
            },
            group: of("group"),
            resource: of("resource"),
            subresource: of("subresource"),
            namespace: of("namespace"),
            name: of("name"),
            path: text(&["spec", "nonResourceAttributes", "path"]),
            fields: fields.as_ref(),
        };
        let (allowed, reason) = self.config().registry.authorizer().explain(who, &asks);
        let mut status = json!({"allowed": allowed});
        if !broken.is_empty() {
            status["evaluationError"] = broken.into();
        }
        if !reason.is_empty() {
            status["reason"] = reason.into();
        }
        Ok(status)
    }

    fn rules(&self, doc: &Doc, who: &Identity) -> Result<Value, ApiError> {
        let namespace = doc.str_at(&["spec", "namespace"]).unwrap_or_default();
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        let rules = self.config().registry.authorizer().rules_of(who, namespace);
        let (paths, resources): (Vec<&PolicyRule>, Vec<&PolicyRule>) =
            rules.iter().partition(|rule| !rule.non_resource_urls.is_empty());
        let resource = |rule: &&PolicyRule| {
            let mut out = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                out["resourceNames"] = json!(rule.resource_names);
            }
            out
        };
        let path = |rule: &&PolicyRule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls});
        Ok(json!({
            "resourceRules": resources.iter().map(resource).collect::<Vec<_>>(),
            "nonResourceRules": paths.iter().map(path).collect::<Vec<_>>(),
            "incomplete": false,
        }))
    }
}

/// An identity as reviews write it.
pub(crate) fn user_info(who: &Identity) -> Value {
    let mut info = json!({"username": who.user});
    if !who.uid.is_empty() {
        info["uid"] = who.uid.as_str().into();
    }
    if !who.groups.is_empty() {
        info["groups"] = json!(who.groups);
    }
    if !who.extra.is_empty() {
        info["extra"] = json!(who.extra);
    }
    info
}

fn self_subject(who: &Identity) -> Result<Value, ApiError> {
    if who.user == ANONYMOUS && who.groups.is_empty() {
        return Err(ApiError::unauthorized());
    }
    Ok(json!({"userInfo": user_info(who)}))
}

fn invalid(error: FieldError) -> ApiError {
    ApiError::invalid(GROUP, "", "", &[error])
}

/// Who an access review asks about.
fn asker(doc: &Doc) -> Result<Identity, ApiError> {
    let spec = doc.at(&["spec"]).cloned().unwrap_or_default();
    let text = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |value: &Value| {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    let who = Identity {
        user: text("user"),
        uid: text("uid"),
        groups: spec.get("groups").map(texts).unwrap_or_default(),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    };
    if who.user.is_empty() && who.groups.is_empty() {
        let root = FieldPath::new("spec");
        return Err(invalid(FieldError::invalid(
            &root.child("user"),
            "",
            "at least one of user or group must be specified",
        )));
    }
    Ok(who)
}

fn check_attributes(doc: &Doc) -> Result<(), ApiError> {
    let spec = FieldPath::new("spec");
    let given = |name: &str| doc.at(&["spec", name]).filter(|value| !value.is_null());
    match (given("resourceAttributes"), given("nonResourceAttributes")) {
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            Err(invalid(FieldError::invalid(&spec.child("resourceAttributes"), Value::Null, why)))
        }
        (Some(_), Some(_)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            Err(invalid(FieldError::invalid(
                &spec.child("nonResourceAttributes"),
                given("nonResourceAttributes").cloned().unwrap_or_default(),
                why,
            )))
        }
        (Some(resource), None) => {
            ["fieldSelector", "labelSelector"].iter().try_for_each(|name| check_selector(resource, name))
        }
        (None, Some(_)) => Ok(()),
    }
}

fn check_selector(resource: &Value, name: &str) -> Result<(), ApiError> {
    let Some(selector) = resource.get(name).filter(|value| !value.is_null()) else { return Ok(()) };
    let raw = selector.get("rawSelector").and_then(Value::as_str).unwrap_or_default();
    let listed = selector.get("requirements").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let spec = FieldPath::new("spec");
    let attributes = spec.child("resourceAttributes");
    let path = attributes.child(name);
    match (raw.is_empty(), listed) {
        (false, true) => Err(invalid(FieldError::invalid(
            &path.child("rawSelector"),
            raw,
            "may not specified at the same time as requirements",
        ))),
        (true, false) => Err(invalid(FieldError::required(
            &path.child("requirements"),
            "when fieldSelector is specified, requirements or rawSelector is required",
        ))),
        _ => Ok(()),
    }
}

/// The fields that a review's question is limited to, and what is wrong with them. What does not read limits nothing: the
/// question is then about more, and the answer to that holds for less as well (`authorizationAttributesFrom` upstream). Label
/// selectors decide nothing here: neither roles nor the node authorizer look at labels.
fn field_selector(doc: &Doc) -> (Option<FieldSelector>, String) {
    let Some(selector) = doc.at(&["spec", "resourceAttributes", "fieldSelector"]).filter(|value| !value.is_null())
    else {
        return (None, String::new());
    };
    if let Some(raw) = selector.get("rawSelector").and_then(Value::as_str).filter(|raw| !raw.is_empty()) {
        return match FieldSelector::parse(raw) {
            Ok(parsed) => (Some(parsed), String::new()),
            Err(error) => (None, error.to_string()),
        };
    }
    let (mut fields, mut broken) = (FieldSelector::default(), Vec::new());
    for requirement in selector.get("requirements").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| requirement.get(name).and_then(Value::as_str).unwrap_or_default();
        let values: Vec<&str> = requirement
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        match (text("operator"), values.as_slice()) {
            (operator @ ("In" | "NotIn"), [value]) => {
                let (field, value) = (text("key").to_owned(), (*value).to_owned());
                fields = fields.and(FieldRequirement { field, equals: operator == "In", value });
            }
            ("In" | "NotIn", _) => broken.push("fieldSelectors do not yet support multiple values".to_owned()),
            ("Exists" | "DoesNotExist", _) => {
                broken.push(format!("fieldSelectors do not yet support {}", text("operator")));
            }
            (other, _) => broken.push(format!("{other:?} is not a valid field selector operator")),
        }
    }
    ((!fields.is_everything()).then_some(fields), broken.join(", "))
}

/// A local review asks about its own namespace only.
fn local(doc: &mut Doc, namespace: &str) -> Result<(), ApiError> {
    let spec = FieldPath::new("spec");
    doc.set(&["metadata", "namespace"], namespace);
    if let Some(path) = doc.at(&["spec", "nonResourceAttributes"]).filter(|value| !value.is_null()) {
        let path = path.clone();
        return Err(invalid(FieldError::invalid(
            &spec.child("nonResourceAttributes"),
            path,
            "disallowed on this kind of request",
        )));
    }
    let attributes = spec.child("resourceAttributes");
    let asked = doc.str_at(&["spec", "resourceAttributes", "namespace"]).unwrap_or_default();
    if doc.at(&["spec", "resourceAttributes"]).is_some_and(|v| !v.is_null()) && asked != namespace {
        return Err(invalid(FieldError::invalid(
            &attributes.child("namespace"),
            asked,
            "must match metadata.namespace",
        )));
    }
    Ok(())
}
