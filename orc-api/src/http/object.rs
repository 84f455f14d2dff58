//! Requests about one object: get, create, update, patch, delete.

use bytes::Bytes;
use http::Response;
use orc_core::{ApiError, Doc, Name, ObjectKey};
use orc_store::client::{
    DeleteOptions, Freshness, Gotten, Intent, ObjectClient as _, Outcome, PatchKind, Preconditions, Propagation, ReadOptions, Scope,
    Subresource, Target, WriteOptions, WriteRequest, Written,
};
use orc_core::Revision;
use serde_json::{Value, json};

use super::conversion::Served;
use super::negotiate::{self, Form};
use super::query::Query;
use super::service::{ApiService, Call};
use super::body::Decoded;
use super::{Body, body, respond};

type Answer = Result<Response<Body>, ApiError>;

impl ApiService {
    pub(super) async fn get(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let freshness = match call.query.revision()? {
            None => Freshness::Latest,
            Some(Revision::ZERO) => Freshness::Any,
            Some(at) => Freshness::AtLeast(at),
        };
        let gotten = self.client(&call).get(&target(&call, served), &ReadOptions { freshness }).await?;
        match gotten {
            Gotten::Stored(stored) => self.object(200, form, served, &stored, &call.query),
            Gotten::Made(doc) => Ok(respond::json(200, doc.value())),
        }
    }

    pub(super) async fn create(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let (call, decoded) = take_doc(call).await?;
        let doc = served.accept(decoded.doc)?;
        let target = create_target(&call, served, &doc)?;
        let options = write_options(&call.query, decoded.strict)?;
        let client = self.client(&call);
        let written = client.write(WriteRequest { target, intent: Intent::Create(doc), options }).await?;
        self.written(form, served, &written, &call.query)
    }

    pub(super) async fn update(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let (call, decoded) = take_doc(call).await?;
        let mut doc = served.accept(decoded.doc)?;
        check_name(&mut doc, &call)?;
        let options = write_options(&call.query, decoded.strict)?;
        let request = WriteRequest { target: target(&call, served), intent: Intent::Replace(doc), options };
        let written = self.client(&call).write(request).await?;
        self.written(form, served, &written, &call.query)
    }

    pub(super) async fn patch(&self, mut call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let kind = match body::media_type(call.request.headers()) {
            "application/json-patch+json" => PatchKind::Json,
            "application/merge-patch+json" => PatchKind::Merge,
            "application/strategic-merge-patch+json" => PatchKind::Strategic,
            "application/apply-patch+yaml" => PatchKind::Apply,
            other => {
                let offered = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, \
                    application/strategic-merge-patch+json";
                return Err(body::unsupported(other, offered));
            }
        };
        let bytes = body::read(std::mem::replace(call.request.body_mut(), respond::full(Bytes::new()))).await?;
        let mut options = write_options(&call.query, Vec::new())?;
        let bytes = if kind == PatchKind::Apply {
            if call.query.get("fieldManager").is_none() {
                return Err(apply_needs_manager());
            }
            let decoded = body::decode_yaml(&bytes)?;
            options.strict = decoded.strict;
            Bytes::from(decoded.doc.value().to_string())
        } else {
            bytes
        };
        let request = WriteRequest { target: target(&call, served), intent: Intent::Patch(kind, bytes), options };
        let written = self.client(&call).write(request).await?;
        self.written(form, served, &written, &call.query)
    }

    pub(super) async fn delete(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let (call, options, write) = take_delete(call).await?;
        let request = WriteRequest { target: target(&call, served), intent: Intent::Delete(options), options: write };
        let written = self.client(&call).write(request).await?;
        self.written(form, served, &written, &call.query)
    }

    pub(super) fn client(&self, call: &Call) -> crate::registry::RegistryClient {
        self.config().registry.trusted(call.who.clone(), &call.manager)
    }

    fn written(&self, form: Form, served: &Served, written: &Written, query: &Query) -> Answer {
        let mut response = match &written.outcome {
            Outcome::Persisted(stored) => self.object(written.code, form, served, stored, query)?,
            Outcome::Unsaved(doc) => respond::json(written.code, doc.value()),
            Outcome::Status(status) => respond::json(written.code, status),
            Outcome::Collection(items) => self.items(form, served, items, query)?,
        };
        respond::warn(&mut response, &written.warnings);
        Ok(response)
    }
}

/// What a request with a name in its path is about.
pub(super) fn target(call: &Call, served: &Served) -> Target {
    let sub = (!call.info.subresource.is_empty()).then(|| Subresource(call.info.subresource.clone().into()));
    Target::Named(key(call, served, &call.info.name), sub)
}

fn key(call: &Call, served: &Served, name: &str) -> ObjectKey {
    let namespace = served.namespaced.then(|| Name::new(&call.info.namespace));
    ObjectKey { resource: served.id.clone(), namespace, name: Name::new(name) }
}

fn create_target(call: &Call, served: &Served, doc: &Doc) -> Result<Target, ApiError> {
    if !call.info.name.is_empty() {
        if call.info.subresource.is_empty() {
            return Err(ApiError::method_not_allowed(&call.info.group, &call.info.resource, "create"));
        }
        return Ok(target(call, served));
    }
    let given = doc.namespace();
    if served.namespaced && !given.is_empty() && given != call.info.namespace {
        let why = format!(
            "the namespace of the provided object does not match the namespace sent on the request ({given} != {})",
            call.info.namespace
        );
        return Err(ApiError::bad_request(why));
    }
    let prefix = doc.str_at(&["metadata", "generateName"]).unwrap_or_default();
    if doc.name().is_empty() && !prefix.is_empty() {
        let scope = Scope { resource: served.id.clone(), namespace: served.namespaced.then(|| Name::new(&call.info.namespace)) };
        return Ok(Target::Generated { scope, prefix: prefix.to_owned() });
    }
    Ok(Target::Named(key(call, served, doc.name()), None))
}

/// The name and namespace in the body must be those of the URL; they may be left out.
fn check_name(doc: &mut Doc, call: &Call) -> Result<(), ApiError> {
    let (name, url) = (doc.name().to_owned(), &call.info.name);
    if name.is_empty() {
        doc.set(&["metadata", "name"], url.as_str());
    } else if name != *url {
        return Err(ApiError::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({url})")));
    }
    let (given, namespace) = (doc.namespace().to_owned(), &call.info.namespace);
    if !given.is_empty() && given != *namespace && call.info.resource != "namespaces" {
        let why = format!("the namespace of the object ({given}) does not match the namespace on the request ({namespace})");
        return Err(ApiError::bad_request(why));
    }
    Ok(())
}

async fn take_doc(mut call: Call) -> Result<(Call, Decoded), ApiError> {
    let bytes = body::read(std::mem::replace(call.request.body_mut(), respond::full(Bytes::new()))).await?;
    let decoded = body::decode(call.request.headers(), &bytes)?;
    Ok((call, decoded))
}

fn write_options(query: &Query, strict: Vec<String>) -> Result<WriteOptions, ApiError> {
    Ok(WriteOptions {
        dry_run: query.dry_run()?,
        field_manager: query.get("fieldManager").map(str::to_owned),
        field_validation: query.field_validation()?,
        force: query.flag("force"),
        strict,
        preconditions: Preconditions::default(),
    })
}

/// Options of a deletion, from the body or else the query.
pub(super) async fn take_delete(mut call: Call) -> Result<(Call, DeleteOptions, WriteOptions), ApiError> {
    let bytes = body::read(std::mem::replace(call.request.body_mut(), respond::full(Bytes::new()))).await?;
    let mut write = write_options(&call.query, Vec::new())?;
    let given = if bytes.is_empty() { json!({}) } else { body::decode(call.request.headers(), &bytes)?.doc.into_value() };
    if given.get("dryRun").and_then(Value::as_array).is_some_and(|list| list.iter().any(|item| item == "All")) {
        write.dry_run = true;
    }
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned).or_else(|| call.query.get(name).map(str::to_owned));
    let grace = match given.get("gracePeriodSeconds").and_then(Value::as_i64) {
        Some(seconds) => Some(seconds),
        None => call.query.get("gracePeriodSeconds").and_then(|text| text.parse().ok()),
    };
    let orphan = given.get("orphanDependents").and_then(Value::as_bool);
    let propagation = match (text("propagationPolicy").as_deref(), orphan) {
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            let why = format!(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported values: \
                 \"Background\", \"Foreground\", \"Orphan\""
            );
            return Err(ApiError::bad_request(why).with_code(422));
        }
        (None, None) => None,
    };
    let conditions = given.get("preconditions").cloned().unwrap_or_default();
    let preconditions = Preconditions {
        uid: conditions.get("uid").and_then(Value::as_str).map(str::to_owned),
        revision: conditions.get("resourceVersion").and_then(Value::as_str).and_then(Revision::parse),
    };
    Ok((call, DeleteOptions { grace_seconds: grace, preconditions, propagation }, write))
}

fn apply_needs_manager() -> ApiError {
    ApiError::bad_request("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")
        .with_code(422)
}
