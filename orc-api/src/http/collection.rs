//! Requests about many objects: list and delete collection; and the forms of one object and of many.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Response;
use orc_core::{ApiError, Name, Revision};
use orc_store::Stored;
use orc_store::client::{Continue, Intent, Listing, ObjectClient as _, Scope, Target, WriteRequest};
use serde_json::{Value, json};

use super::conversion::Served;
use super::negotiate::{self, Form};
use super::object::take_delete;
use super::query::{Query, encode_continue};
use super::service::{ApiService, Call};
use super::{Body, respond};

type Answer = Result<Response<Body>, ApiError>;

pub(super) fn scope(call: &Call, served: &Served) -> Scope {
    let namespace = (served.namespaced && !call.info.namespace.is_empty()).then(|| Name::new(&call.info.namespace));
    Scope { resource: served.id.clone(), namespace }
}

impl ApiService {
    pub(super) async fn list(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let mut options = call.query.list()?;
        served.accept_fields(&mut options.select.fields)?;
        let listing = self.client(&call).list(&scope(&call, served), &options).await?;
        self.listing(form, served, &listing, &call.query)
    }

    pub(super) async fn delete_collection(&self, call: Call, served: &Served) -> Answer {
        let form = negotiate::form(call.request.headers())?;
        let mut list = call.query.list()?;
        served.accept_fields(&mut list.select.fields)?;
        let (call, options, write) = take_delete(call).await?;
        let target = Target::Collection(scope(&call, served));
        let intent = Intent::DeleteCollection(options, Box::new(list));
        let written = self.client(&call).write(WriteRequest { target, intent, options: write }).await?;
        match &written.outcome {
            orc_store::client::Outcome::Collection(items) if items.is_empty() => {
                // Nothing was written, so the answer shows the present revision.
                let one = orc_store::client::ListOptions { limit: Some(1), ..Default::default() };
                let revision = self.client(&call).list(&scope(&call, served), &one).await?.revision;
                self.listing(form, served, &Listing { revision, ..Listing::default() }, &call.query)
            }
            orc_store::client::Outcome::Collection(items) => self.items(form, served, items, &call.query),
            _ => Err(ApiError::internal("deleting a collection gave no collection")),
        }
    }

    /// One object in a form.
    pub(super) fn object(&self, code: u16, form: Form, served: &Served, stored: &Stored, query: &Query) -> Answer {
        match form {
            Form::Object => Ok(respond::json_slices(code, served.present(stored, None, true)?)),
            Form::Metadata => Ok(respond::json(code, &metadata_only(stored, None, "PartialObjectMetadata")?)),
            Form::Table => {
                let table = self.table(served, std::slice::from_ref(&stored), stored.revision, query)?;
                Ok(respond::json(code, &table))
            }
        }
    }

    /// Objects that a deletion took, as a list.
    pub(super) fn items(&self, form: Form, served: &Served, items: &[Arc<Stored>], query: &Query) -> Answer {
        let revision = items.iter().map(|item| item.revision).max().unwrap_or_default();
        self.listing(form, served, &Listing { items: items.to_vec(), revision, ..Listing::default() }, query)
    }

    fn listing(&self, form: Form, served: &Served, listing: &Listing, query: &Query) -> Answer {
        let mut meta = list_meta(listing.revision, listing.next.as_ref(), listing.remaining);
        match form {
            Form::Object => {
                // Lists of custom kinds are written field by field as they are: each item has its type, the token stands there
                // even when it is empty.
                if served.is_custom() && meta.get("continue").is_none() {
                    meta["continue"] = "".into();
                }
                let head = json!({"apiVersion": served.api_version(), "kind": served.list_kind, "metadata": meta});
                list_body(&head, listing.items.iter().map(|item| served.present(item, None, served.is_custom())))
            }
            Form::Metadata => {
                let head =
                    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": meta});
                let items = listing.items.iter().map(|item| {
                    let value = metadata_only(item, None, "PartialObjectMetadata")?;
                    Ok(vec![Bytes::from(value.to_string())])
                });
                list_body(&head, items)
            }
            Form::Table => {
                let mut table = self.table(served, &listing.items, listing.revision, query)?;
                table["metadata"] = meta;
                Ok(respond::json(200, &table))
            }
        }
    }

    /// A Table of objects.
    pub(super) fn table<S: std::borrow::Borrow<Stored>>(
        &self,
        served: &Served,
        items: &[S],
        at: Revision,
        query: &Query,
    ) -> Result<Value, ApiError> {
        let now = self.config().clock.now();
        let rows =
            items.iter().map(|item| row(served, item.borrow(), None, query, now)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": at.to_string()},
            "columnDefinitions": served.columns(), "rows": rows,
        }))
    }
}

/// One row of a Table; `includeObject` says how much of the object goes with it.
pub(super) fn row(
    served: &Served,
    item: &Stored,
    at: Option<Revision>,
    query: &Query,
    now: jiff::Timestamp,
) -> Result<Value, ApiError> {
    let value: Value = serde_json::from_slice(&join(served.present(item, at, true)?)).map_err(ApiError::internal)?;
    let cells = served.cells(&value, now);
    Ok(match query.get("includeObject") {
        Some("None") => json!({"cells": cells, "object": null}),
        Some("Object") => json!({"cells": cells, "object": value}),
        _ => json!({"cells": cells, "object": metadata_only(item, at, "PartialObjectMetadata")?}),
    })
}

/// The metadata of an object and nothing else.
pub(super) fn metadata_only(item: &Stored, at: Option<Revision>, kind: &str) -> Result<Value, ApiError> {
    #[derive(serde::Deserialize)]
    struct Meta {
        metadata: Value,
    }
    let Meta { metadata } = serde_json::from_slice(&join(item.frame(at, true).into())).map_err(ApiError::internal)?;
    Ok(json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": metadata}))
}

pub(super) fn join(parts: Vec<Bytes>) -> Bytes {
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole.freeze()
}

fn list_meta(revision: Revision, next: Option<&Continue>, remaining: Option<u64>) -> Value {
    let mut meta = json!({"resourceVersion": revision.to_string()});
    if let Some(next) = next {
        meta["continue"] = encode_continue(next).into();
        if let Some(remaining) = remaining {
            meta["remainingItemCount"] = remaining.into();
        }
    }
    meta
}

/// A list as slices: the head with an open `items`, the bodies as they are stored, the end.
fn list_body(head: &Value, items: impl Iterator<Item = Result<Vec<Bytes>, ApiError>>) -> Answer {
    let mut lead = head.to_string();
    lead.pop();
    lead.push_str(",\"items\":[");
    let mut parts = vec![Bytes::from(lead)];
    for (at, item) in items.enumerate() {
        if at > 0 {
            parts.push(Bytes::from_static(b","));
        }
        parts.extend(item?);
    }
    parts.push(Bytes::from_static(b"]}"));
    Ok(respond::json_slices(200, parts))
}
