//! Paths and bodies of requests, and objects of answers.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use orc_core::catalogue::{Catalogue, ResourceInfo};
use orc_core::{ApiError, Doc, Name, ObjectKey, Reason, ResourceId, Revision};
use orc_store::Stored;
use orc_store::client::{DeleteOptions, PatchKind, Preconditions, Propagation, Selection, WriteOptions};
use serde_json::{Map, Value, json};

/// A resource as a server's URLs and answers name it.
#[derive(Clone)]
pub(super) struct Kind {
    id: ResourceId,
    info: Arc<ResourceInfo>,
    version: Arc<str>,
    fields: Arc<[String]>,
}

impl Kind {
    /// The resource in the version that objects are kept in, which the types of this workspace are of.
    ///
    /// # Errors
    /// `NotFound` for what is not built in.
    pub(super) fn of(id: &ResourceId, version: Option<&Name>) -> Result<Self, ApiError> {
        let catalogue = Catalogue::builtin();
        let info = catalogue.by_id(id).cloned();
        let unknown =
            || ApiError::new(Reason::NotFound, format!("the remote client knows built-in resources only, not {id:?}"));
        let info = info.ok_or_else(unknown)?;
        let version = match version {
            Some(version) => Arc::from(version.as_str().rsplit('/').next().unwrap_or_default()),
            None => info.storage.version.clone(),
        };
        let fields = info.version(&version).map(|version| version.fields.clone()).unwrap_or_default();
        Ok(Self { id: id.clone(), info, version, fields: fields.into() })
    }

    /// The path of the collection, or of an object and its sub-resource.
    pub(super) fn path(&self, namespace: Option<&Name>, name: Option<&str>, sub: Option<&str>) -> String {
        let mut path = match &*self.info.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let Some(namespace) = namespace.filter(|_| self.info.is_namespaced()) {
            let _ = write!(path, "/namespaces/{}", escaped(namespace));
        }
        path.push('/');
        path.push_str(&self.info.plural);
        for part in name.into_iter().chain(sub) {
            path.push('/');
            path.push_str(&escaped(part));
        }
        path
    }

    /// An object of an answer; those of lists do not say what they are.
    ///
    /// # Errors
    /// `InternalError` when it is no object of Kubernetes.
    pub(super) fn stored(&self, object: Value) -> Result<Arc<Stored>, ApiError> {
        let mut doc = Doc::from_value(object)?;
        if doc.kind().is_empty() {
            let group_version = match &*self.info.group {
                "" => self.version.to_string(),
                group => format!("{group}/{}", self.version),
            };
            doc.set(&["apiVersion"], group_version);
            doc.set(&["kind"], self.info.kind.as_str());
        }
        let revision = doc.remove(&["metadata", "resourceVersion"]);
        let revision = revision_of(revision.as_ref())?;
        let namespace = Some(Name::new(doc.namespace())).filter(|namespace| !namespace.is_empty());
        let key = ObjectKey { resource: self.id.clone(), namespace, name: doc.name().into() };
        Stored::parse(key, revision, doc.to_body(), &self.fields).map(Arc::new)
    }
}

/// A revision as servers write it.
///
/// # Errors
/// `InternalError` when it is not a number: Kubernetes 1.35 and later promise one.
pub(super) fn revision_of(text: Option<&Value>) -> Result<Revision, ApiError> {
    let found = text.and_then(Value::as_str).and_then(Revision::parse);
    found.ok_or_else(|| ApiError::internal(format!("the server's resourceVersion is not a number: {text:?}")))
}

/// A query, percent-encoded.
#[derive(Default)]
pub(super) struct Query(String);

impl Query {
    pub(super) fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let before = if self.0.is_empty() { '?' } else { '&' };
        let _ = write!(self.0, "{before}{name}={}", escaped(value.as_ref()));
    }

    pub(super) fn select(&mut self, select: &Selection) {
        if !select.labels.is_everything() {
            self.add("labelSelector", select.labels.to_string());
        }
        if !select.fields.is_everything() {
            self.add("fieldSelector", select.fields.to_string());
        }
    }

    pub(super) fn write(&mut self, options: &WriteOptions) {
        if options.dry_run {
            self.add("dryRun", "All");
        }
        if options.force {
            self.add("force", "true");
        }
        if let Some(manager) = &options.field_manager {
            self.add("fieldManager", manager);
        }
    }

    pub(super) fn after(self, path: String) -> String {
        path + &self.0
    }
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, crate::http::RESERVED).to_string()
}

/// The body of a deletion.
pub(super) fn deletion(options: &DeleteOptions) -> Bytes {
    let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
    if let Some(seconds) = options.grace_seconds {
        body["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(propagation) = options.propagation {
        body["propagationPolicy"] = match propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        }
        .into();
    }
    let conditions = conditions(&options.preconditions);
    if !conditions.is_empty() {
        body["preconditions"] = conditions.into();
    }
    body.to_string().into()
}

fn conditions(preconditions: &Preconditions) -> Map<String, Value> {
    let mut all = Map::new();
    all.extend(preconditions.uid.iter().map(|uid| ("uid".to_owned(), uid.as_str().into())));
    all.extend(preconditions.revision.iter().map(|at| ("resourceVersion".to_owned(), at.to_string().into())));
    all
}

/// A patch that fails when what must hold does not.
///
/// # Errors
/// `BadRequest` when the patch is not what its kind wants.
pub(super) fn patch(
    kind: PatchKind,
    patch: &Bytes,
    preconditions: &Preconditions,
) -> Result<(&'static str, Bytes), ApiError> {
    let media = match kind {
        PatchKind::Json => "application/json-patch+json",
        PatchKind::Merge => "application/merge-patch+json",
        PatchKind::Strategic => "application/strategic-merge-patch+json",
        PatchKind::Apply => "application/apply-patch+yaml",
    };
    let conditions = conditions(preconditions);
    if conditions.is_empty() {
        return Ok((media, patch.clone()));
    }
    let mut body: Value = serde_json::from_slice(patch).map_err(|error| ApiError::bad_request(error.to_string()))?;
    match (&mut body, kind) {
        (Value::Array(steps), PatchKind::Json) => {
            let test = |(name, value)| json!({"op": "test", "path": format!("/metadata/{name}"), "value": value});
            steps.splice(0..0, conditions.into_iter().map(test));
        }
        (Value::Object(_), PatchKind::Merge | PatchKind::Strategic | PatchKind::Apply) => {
            conditions.into_iter().for_each(|(name, value)| body["metadata"][name] = value);
        }
        _ => return Err(ApiError::bad_request("the patch is not of its kind")),
    }
    Ok((media, body.to_string().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(id: &str) -> Kind {
        Kind::of(&ResourceId::parse(id), None).unwrap()
    }

    #[test]
    fn paths_are_kubernetes_own() {
        let namespace = Name::new("d");
        let binding = kind("pods").path(Some(&namespace), Some("a"), Some("binding"));
        assert_eq!(binding, "/api/v1/namespaces/d/pods/a/binding");
        assert_eq!(kind("nodes").path(Some(&namespace), None, None), "/api/v1/nodes");
        assert_eq!(kind("leases.coordination.k8s.io").path(None, None, None), "/apis/coordination.k8s.io/v1/leases");
        let mut query = Query::default();
        query.add("fieldSelector", "spec.nodeName!=");
        query.add("limit", "5");
        assert_eq!(query.after("/x".to_owned()), "/x?fieldSelector=spec.nodeName%21%3D&limit=5");
    }

    #[test]
    fn an_object_of_a_list_gets_its_kind_and_loses_its_revision() {
        let item = json!({"metadata": {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": "12"}, "spec": {"nodeName": "n"}});
        let stored = kind("pods").stored(item).unwrap();
        assert_eq!((stored.revision, &*stored.key.name, stored.head.field("spec.nodeName")), (Revision(12), "a", "n"));
        let body: Value = serde_json::from_slice(&stored.body).unwrap();
        assert_eq!((&body["kind"], &body["metadata"]["resourceVersion"]), (&json!("Pod"), &Value::Null));
        let other = json!({"metadata": {"name": "a", "resourceVersion": "x"}});
        assert!(kind("pods").stored(other).unwrap_err().message().contains("not a number"));
    }

    #[test]
    fn what_must_hold_goes_into_the_patch() {
        let must = Preconditions { uid: None, revision: Some(Revision(7)) };
        let (_, merged) = patch(PatchKind::Merge, &Bytes::from_static(br#"{"a":1}"#), &must).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&merged).unwrap(),
            json!({"a": 1, "metadata": {"resourceVersion": "7"}})
        );
        let (_, steps) = patch(PatchKind::Json, &Bytes::from_static(b"[]"), &must).unwrap();
        let test = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "7"}]);
        assert_eq!(serde_json::from_slice::<Value>(&steps).unwrap(), test);
        assert!(patch(PatchKind::Merge, &Bytes::from_static(b"[]"), &must).is_err());
    }
}
