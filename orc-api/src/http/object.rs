//! Requests about one object: get, create, update, patch, delete.

use bytes::Bytes;
use http::Response;
use orc_core::Revision;
use orc_core::validation::{FieldError, FieldPath};
use orc_core::{ApiError, Doc, Name, ObjectKey, Reason};
use orc_store::client::{
    DeleteOptions, Freshness, Gotten, Intent, ObjectClient as _, Outcome, PatchKind, Preconditions, Propagation,
    ReadOptions, Scope, Subresource, Target, WriteOptions, WriteRequest, Written,
};
use serde_json::{Value, json};

use super::body::Decoded;
use super::conversion::Served;
use super::negotiate::{self, Form};
use super::query::Query;
use super::service::{ApiService, Call};
use super::{Body, body, options, respond};

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
            Gotten::Made(doc) => Ok(self.made(200, form, served, &doc, &call.query)),
        }
    }

    pub(super) async fn create(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let options = options::write("CreateOptions", &call.query, Vec::new(), false)?;
        let (call, decoded) = take_doc(call, served).await?;
        let doc = served.accept(decoded.doc)?;
        let options = WriteOptions { strict: decoded.strict, decoded: decoded.by, ..options };
        if !served.stored {
            return self.create_virtual(call, served, doc, options).await;
        }
        let target = create_target(&call, served, &doc)?;
        let client = self.client(&call);
        let written = client.write(WriteRequest { target, intent: Intent::Create(doc), options }).await?;
        self.written(form, served, &written, &call.query)
    }

    pub(super) async fn update(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let options = options::write("UpdateOptions", &call.query, Vec::new(), false)?;
        let (call, decoded) = take_doc(call, served).await?;
        let doc = served.accept(decoded.doc)?;
        check_name(&doc, &call)?;
        let options = WriteOptions { strict: decoded.strict, decoded: decoded.by, ..options };
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
            _ => {
                let message = "415: Unsupported Media Type";
                return Err(ApiError::new(Reason::UnsupportedMediaType, message).with_details(Default::default()));
            }
        };
        let bytes = body::read(std::mem::replace(call.request.body_mut(), respond::full(Bytes::new()))).await?;
        let options = options::write("PatchOptions", &call.query, Vec::new(), kind == PatchKind::Apply)?;
        let bytes = if kind == PatchKind::Apply {
            Bytes::from(body::decode_yaml(&bytes)?.doc.value().to_string())
        } else {
            bytes
        };
        let strict = if kind == PatchKind::Apply { Vec::new() } else { body::duplicates(&bytes) };
        let options = WriteOptions { strict, ..options };
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
        let (group, version) = (&call.info.group, &call.info.version);
        let spoken = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        self.config().registry.trusted(call.who.clone(), &call.manager).in_version(&spoken)
    }

    fn written(&self, form: Form, served: &Served, written: &Written, query: &Query) -> Answer {
        let mut response = match &written.outcome {
            Outcome::Persisted(stored) => self.object(written.code, form, served, stored, query)?,
            Outcome::Unsaved(doc) => self.made(written.code, form, served, doc, query),
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
        return Err(ApiError::bad_request(OTHER_NAMESPACE));
    }
    let prefix = doc.str_at(&["metadata", "generateName"]).unwrap_or_default();
    if doc.name().is_empty() && !prefix.is_empty() {
        let scope = Scope {
            resource: served.id.clone(),
            namespace: served.namespaced.then(|| Name::new(&call.info.namespace)),
        };
        return Ok(Target::Generated { scope, prefix: prefix.to_owned() });
    }
    Ok(Target::Named(key(call, served, doc.name()), None))
}

/// The name and namespace in the body must be those of the URL.
fn check_name(doc: &Doc, call: &Call) -> Result<(), ApiError> {
    let (name, url) = (doc.name(), &call.info.name);
    if name.is_empty() {
        let why = format!("the name of the object ({url} based on URL) was undeterminable: name must be provided");
        return Err(ApiError::bad_request(why));
    }
    if name != url {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({url})"
        )));
    }
    let (given, namespace) = (doc.namespace(), &call.info.namespace);
    if !given.is_empty() && given != namespace && call.info.resource != "namespaces" {
        return Err(ApiError::bad_request(OTHER_NAMESPACE));
    }
    Ok(())
}

const OTHER_NAMESPACE: &str = "the namespace of the provided object does not match the namespace sent on the request";

async fn take_doc(mut call: Call, served: &Served) -> Result<(Call, Decoded), ApiError> {
    let bytes = body::read(std::mem::replace(call.request.body_mut(), respond::full(Bytes::new()))).await?;
    let decoded = body::decode(call.request.headers(), &bytes, served.body_message())?;
    Ok((call, decoded))
}

/// Options of a deletion, from the body or else the query.
pub(super) async fn take_delete(mut call: Call) -> Result<(Call, DeleteOptions, WriteOptions), ApiError> {
    let bytes = body::read(std::mem::replace(call.request.body_mut(), respond::full(Bytes::new()))).await?;
    let mut write = options::write("DeleteOptions", &call.query, Vec::new(), false)?;
    let given = if bytes.is_empty() { json!({}) } else { delete_options(&call, &bytes)? };
    let mut errors = Vec::new();
    let listed =
        given.get("dryRun").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    write.dry_run |= options::dry_run(listed, &mut errors);
    // A body speaks for itself: the query counts only where there is none.
    let query = |name: &str| if bytes.is_empty() { call.query.get(name).map(str::to_owned) } else { None };
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned).or_else(|| query(name));
    let grace = match given.get("gracePeriodSeconds").and_then(Value::as_i64) {
        Some(seconds) => Some(seconds),
        None => query("gracePeriodSeconds").map(|text| text.parse().map_err(|_| bad_number(&text))).transpose()?,
    };
    let orphan = given
        .get("orphanDependents")
        .and_then(Value::as_bool)
        .or_else(|| query("orphanDependents").map(|text| text == "true"));
    let propagation = propagation(text("propagationPolicy").as_deref(), orphan, &mut errors);
    options::check("DeleteOptions", &errors)?;
    let conditions = given.get("preconditions").cloned().unwrap_or_default();
    let preconditions = Preconditions {
        uid: conditions.get("uid").and_then(Value::as_str).map(str::to_owned),
        revision: conditions.get("resourceVersion").and_then(Value::as_str).and_then(Revision::parse),
    };
    Ok((call, DeleteOptions { grace_seconds: grace, preconditions, propagation }, write))
}

fn bad_number(text: &str) -> ApiError {
    ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

fn delete_options(call: &Call, bytes: &[u8]) -> Result<Value, ApiError> {
    let doc = body::decode(call.request.headers(), bytes, None)?.doc;
    if !matches!(doc.kind(), "" | "DeleteOptions") {
        let (kind, version) = (doc.kind(), doc.api_version());
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in the scheme of options"
        )));
    }
    // Unknown fields pass unseen, and what is of the wrong type does not.
    let message = orc_core::schema::Schema::builtin().message_of("", "v1", "DeleteOptions");
    let decoded = orc_core::schema::check(doc.value(), message);
    Ok(decoded.map_err(|error| ApiError::bad_request(error.to_string()))?.value)
}

fn propagation(policy: Option<&str>, orphan: Option<bool>, errors: &mut Vec<FieldError>) -> Option<Propagation> {
    let path = FieldPath::new("propagationPolicy");
    if let (Some(policy), Some(_)) = (policy, orphan) {
        errors.push(FieldError::invalid(&path, policy, "orphanDependents and deletionPropagation cannot be both set"));
    }
    match (policy, orphan) {
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            errors.push(FieldError::not_supported(&path, other, &["Foreground", "Background", "Orphan", "nil"]));
            None
        }
        (None, None) => None,
    }
}

impl ApiService {
    /// What is created without being stored: bindings by the pod's name, and reviews.
    async fn create_virtual(&self, call: Call, served: &Served, doc: Doc, options: WriteOptions) -> Answer {
        if call.info.resource == "bindings" && call.info.group.is_empty() {
            let pods = orc_core::ResourceId::new("", "pods");
            let key = ObjectKey {
                resource: pods,
                namespace: Some(Name::new(&call.info.namespace)),
                name: Name::new(doc.name()),
            };
            let target = Target::Named(key, Some(Subresource::BINDING));
            let written =
                self.client(&call).write(WriteRequest { target, intent: Intent::Create(doc), options }).await?;
            return self.written(Form::Object, served, &written, &call.query);
        }
        let Call { who, info, .. } = call;
        self.review(&who, &info, doc).await?.ok_or_else(|| super::conversion::not_built(&info.resource))
    }
}
