//! Requests about many objects: list and delete collection; and the forms of one object and of many.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Response;
use orc_core::schema::{MessageRef, Schema};
use orc_core::{ApiError, Name, Revision};
use orc_store::Stored;
use orc_store::client::{Continue, Intent, Listing, ObjectClient as _, Scope, Target, WriteRequest};
use serde_json::{Value, json};

use super::conversion::Served;
use super::negotiate::{self, Encoding, Form};
use super::object::take_delete;
use super::query::{Query, encode_continue};
use super::service::{ApiService, Call};
use super::{Body, list_body, respond};
use crate::convert;

type Answer = Result<Response<Body>, ApiError>;

pub(super) fn scope(call: &Call, served: &Served) -> Scope {
    let namespace = (served.namespaced && !call.info.namespace.is_empty()).then(|| Name::new(&call.info.namespace));
    Scope { resource: served.id.clone(), namespace }
}

impl ApiService {
    pub(super) async fn list(&self, call: Call, served: &Served) -> Answer {
        let (form, encoding) = (negotiate::form(call.request.headers())?, negotiate::encoding(call.request.headers()));
        let mut options = call.query.list()?;
        served.accept_fields(&mut options.select.fields)?;
        let listing = self.client(&call).list(&scope(&call, served), &options).await?;
        self.listing(form, encoding, served, listing, &call.query)
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
                self.listing(form, Encoding::Json, served, Listing { revision, ..Listing::default() }, &call.query)
            }
            orc_store::client::Outcome::Collection(items) => self.items(form, served, items, &call.query),
            _ => Err(ApiError::internal("deleting a collection gave no collection")),
        }
    }

    /// One object in a form.
    pub(super) fn object(&self, code: u16, form: Form, served: &Served, stored: &Stored, query: &Query) -> Answer {
        match form {
            Form::Object => Ok(respond::json_slices(code, served.present(stored, None, true)?)),
            Form::Metadata => {
                Ok(respond::json_slices(code, vec![metadata_only(stored, None, "PartialObjectMetadata")?]))
            }
            Form::Table => {
                let head = json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": stored.revision.to_string()}, "columnDefinitions": served.columns(),
                });
                let row = row(served, stored, None, query, self.config().clock.now())?;
                let mut response = json_list(&head, "rows", std::iter::once(Ok(vec![row])));
                *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
                Ok(response)
            }
        }
    }

    /// Objects that a deletion took, as a list.
    pub(super) fn items(&self, form: Form, served: &Served, items: &[Arc<Stored>], query: &Query) -> Answer {
        let revision = items.iter().map(|item| item.revision).max().unwrap_or_default();
        let listing = Listing { items: items.to_vec(), revision, ..Listing::default() };
        self.listing(form, Encoding::Json, served, listing, query)
    }

    /// A list in a form. Items are written while they are sent.
    fn listing(&self, form: Form, encoding: Encoding, served: &Served, listing: Listing, query: &Query) -> Answer {
        let mut meta = list_meta(listing.revision, listing.next.as_ref(), listing.remaining);
        let (items, served) = (listing.items.into_iter(), Arc::new(served.clone()));
        match form {
            Form::Object => {
                // Lists of custom kinds are written field by field as they are: each item has its type, the token stands there
                // even when it is empty.
                if served.is_custom() && meta.get("continue").is_none() {
                    meta["continue"] = "".into();
                }
                let head = json!({"apiVersion": served.api_version(), "kind": served.list_kind, "metadata": meta});
                if let Some(message) = list_message(encoding, &served.api_version(), &served.list_kind) {
                    let texts = items.map(|item| served.present(&item, None, false).map(join));
                    return protobuf_list(&head, message, texts);
                }
                let typed = served.is_custom();
                Ok(json_list(&head, "items", items.map(move |item| served.present(&item, None, typed))))
            }
            Form::Metadata => {
                let (api_version, kind) = ("meta.k8s.io/v1", "PartialObjectMetadataList");
                let head = json!({"apiVersion": api_version, "kind": kind, "metadata": meta});
                let texts = items.map(|item| metadata_only(&item, None, "PartialObjectMetadata"));
                match list_message(encoding, api_version, kind) {
                    Some(message) => protobuf_list(&head, message, texts),
                    None => Ok(json_list(&head, "items", texts.map(|text| Ok(vec![text?])))),
                }
            }
            Form::Table => {
                let head = json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": served.columns()
                });
                let (query, now) = (query.clone(), self.config().clock.now());
                let rows = items.map(move |item| Ok(vec![row(&served, &item, None, &query, now)?]));
                Ok(json_list(&head, "rows", rows))
            }
        }
    }
}

/// One row of a Table as JSON; `includeObject` says how much of the object goes with it.
pub(super) fn row(
    served: &Served,
    item: &Stored,
    at: Option<Revision>,
    query: &Query,
    now: jiff::Timestamp,
) -> Result<Bytes, ApiError> {
    let text = join(served.present(item, at, true)?);
    let value: Value = serde_json::from_slice(&text).map_err(ApiError::internal)?;
    let cells = Value::from(served.cells(&value, now)).to_string();
    let object = match query.get("includeObject") {
        Some("None") => Bytes::from_static(b"null"),
        Some("Object") => text,
        _ => metadata_only(item, at, "PartialObjectMetadata")?,
    };
    let conditions = served.row_conditions(&value).map(|all| format!(",\"conditions\":{all}")).unwrap_or_default();
    let parts: [&[u8]; 6] = [b"{\"cells\":", cells.as_bytes(), conditions.as_bytes(), b",\"object\":", &object, b"}"];
    Ok(parts.concat().into())
}

/// The metadata of an object and nothing else, as JSON.
pub(super) fn metadata_only(item: &Stored, at: Option<Revision>, kind: &str) -> Result<Bytes, ApiError> {
    #[derive(serde::Deserialize)]
    struct Meta<'a> {
        #[serde(borrow)]
        metadata: &'a serde_json::value::RawValue,
    }
    let text = join(item.frame(at, true).into());
    let Meta { metadata } = serde_json::from_slice(&text).map_err(ApiError::internal)?;
    let metadata = convert::internal_metadata(&item.key.resource, metadata.get());
    Ok(format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata}}}").into())
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

/// A list that is written while it is sent; `name` is its member that holds the items.
fn json_list(
    head: &Value,
    name: &str,
    items: impl Iterator<Item = Result<Vec<Bytes>, ApiError>> + Send + 'static,
) -> Response<Body> {
    let mut lead = head.to_string();
    lead.pop();
    lead.push_str(&format!(",\"{name}\":["));
    respond::json_stream(list_body::json(lead.into(), items, b"]}"))
}

/// The message of a list, where the client wants protobuf and the table knows the list.
fn list_message(encoding: Encoding, api_version: &str, kind: &str) -> Option<MessageRef> {
    let wanted = encoding == Encoding::Protobuf;
    wanted.then(|| Schema::builtin().message_of_type(api_version, kind)).flatten()
}

fn protobuf_list(head: &Value, message: MessageRef, items: impl Iterator<Item = Result<Bytes, ApiError>>) -> Answer {
    let text = |name: &str| head[name].as_str().unwrap_or_default();
    let body = list_body::protobuf(text("apiVersion"), text("kind"), message, head.to_string().as_bytes(), items)?;
    Ok(respond::protobuf(body))
}
