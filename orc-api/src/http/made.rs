//! Objects that are made for one answer (a Scale, what a dry run would have stored, the last state of a deleted object) in the
//! form that the client wants.

use http::Response;
use orc_core::catalogue::{Catalogue, Column};
use orc_core::{ApiError, Doc, ResourceId};
use serde_json::{Value, json};

use super::conversion::Served;
use super::negotiate::Form;
use super::query::Query;
use super::service::ApiService;
use super::{Body, respond};
use crate::table;

impl ApiService {
    /// Answers with an object that is not stored. Kinds that have no columns are shown as they are.
    pub(super) fn made(&self, code: u16, form: Form, served: &Served, doc: &Doc, query: &Query) -> Response<Body> {
        let now = self.config().clock.now();
        let own = doc.kind() == served.kind;
        let shown = match form {
            Form::Table if own => Some((served.columns(), served.cells(doc.value(), now))),
            Form::Table if doc.kind() == "Scale" => scale_columns().map(|columns| (columns, scale(doc.value(), now))),
            _ => None,
        };
        if let Some((columns, cells)) = shown {
            let revision = doc.str_at(&["metadata", "resourceVersion"]).unwrap_or_default();
            let metadata = if revision.is_empty() { json!({}) } else { json!({"resourceVersion": revision}) };
            let object = match query.get("includeObject") {
                Some("None") => Value::Null,
                Some("Object") => doc.value().clone(),
                _ => partial(doc),
            };
            let mut row = json!({"cells": cells, "object": object});
            if let Some(conditions) = served.row_conditions(doc.value()).filter(|_| own) {
                row["conditions"] = conditions;
            }
            let table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": columns, "rows": [row]});
            return respond::json(code, &table);
        }
        match form {
            Form::Metadata => respond::json(code, &partial(doc)),
            Form::Object | Form::Table => respond::json(code, doc.value()),
        }
    }
}

fn partial(doc: &Doc) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": doc.at(&["metadata"])})
}

/// The columns of a Scale. Those that every object has are described as those of a Deployment.
fn scale_columns() -> Option<Value> {
    let deployments = Catalogue::builtin().by_id(&ResourceId::new("apps", "deployments"))?.clone();
    let columns = &deployments.version("v1")?.columns;
    let told = |name: &str| columns.iter().find(|column: &&Column| column.name == name).map(|c| c.description.clone());
    let entry = |name: &str, kind: &str, what: String| {
        let mut column = json!({"name": name, "type": kind, "format": "", "priority": 0});
        column["description"] = what.into();
        column
    };
    Some(json!([
        entry("Name", "string", told("Name")?),
        entry("Desired", "integer", "replicas is the desired number of instances for the scaled object.".to_owned()),
        entry(
            "Available",
            "integer",
            "replicas is the actual number of observed instances of the scaled object.".to_owned()
        ),
        entry("Age", "string", told("Age")?),
    ]))
}

fn scale(scale: &Value, now: jiff::Timestamp) -> Vec<Value> {
    let number = |pointer: &str| scale.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    vec![
        scale.pointer("/metadata/name").cloned().unwrap_or_default(),
        number("/spec/replicas").into(),
        number("/status/replicas").into(),
        table::age(scale.pointer("/metadata/creationTimestamp"), now).into(),
    ]
}

/// 406 for an answer that is not of the kind that was asked for, which Kubernetes finds when it has the answer.
///
/// # Errors
/// For one object's metadata where there is a list, and the other way round. `list` says which of both the answer is.
pub(super) fn fits(asked: Option<&str>, list: bool, served: &str) -> Result<(), ApiError> {
    let why = match (asked, list) {
        (Some("PartialObjectMetadata"), true) => {
            format!("you requested PartialObjectMetadata, but the requested object is a list ({served})")
        }
        (Some("PartialObjectMetadataList"), false) => {
            format!("you requested PartialObjectMetadataList, but the requested object is not a list ({served})")
        }
        _ => return Ok(()),
    };
    Err(ApiError::new(orc_core::Reason::NotAcceptable, why))
}

/// The Go type of an answer about a resource, which some messages name: of Kubernetes' internal types for its own kinds.
pub(super) fn go_type(group: &str, resource: &str, list: bool) -> String {
    let Some(info) = Catalogue::builtin().resource(group, resource).cloned() else {
        return format!("*unstructured.Unstructured{}", if list { "List" } else { "" });
    };
    let package = match group {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or_default(),
    };
    format!("*{package}.{}", if list { &info.list_kind } else { &info.kind })
}
