//! The verbs over HTTP: the same loops, against any cluster.
//!
//! Speaks JSON over one HTTP/2 connection, as whoever the kubeconfig says. Built-in resources only. The state that a watch
//! begins with is read by pages and then followed, which every Kubernetes version serves. A write whose answer is lost is
//! `Timeout`: it may have happened.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use orc_core::{ApiError, Doc};
use orc_store::client::{
    Continue, Freshness, Gotten, Intent, ListOptions, Listing, Modify, ObjectClient, Outcome, ReadOptions, Scope,
    Subresource, Target, WatchOptions, WatchStart, WriteOptions, WriteRequest, Written,
};
use orc_store::{WatchEvent, WatchStream};
use serde_json::Value;

use super::channel::{Call, Channel};
use super::connection::Connection;
use super::events::events;
use super::wire::{Kind, Query, deletion, patch, revision_of};

/// Objects a page of the state that a watch begins with; client-go's number.
const PAGE: usize = 500;
/// Attempts of a change by a function before a conflict is given back.
const ATTEMPTS: usize = 16;

/// A cluster that is reached by HTTP. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub struct RemoteClient {
    channel: Arc<Channel>,
    manager: Arc<str>,
}

impl RemoteClient {
    /// A client that writes as this field manager; nothing is sent yet.
    pub fn new(connection: Connection, manager: &str) -> Self {
        Self { channel: Arc::new(Channel::new(connection)), manager: manager.into() }
    }

    async fn call(
        &self,
        method: Method,
        path: String,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<(Value, u16, Vec<String>), ApiError> {
        let answer = self.channel.send(Call { method, path, body }).await?;
        let (code, warnings) = (answer.status().as_u16(), warnings(answer.headers()));
        Ok((read(answer.into_body()).await?, code, warnings))
    }

    /// All objects of a scope, page by page.
    async fn state(&self, scope: &Scope, options: &WatchOptions) -> Result<Listing, ApiError> {
        let mut page = ListOptions { select: options.select.clone(), limit: Some(PAGE), ..ListOptions::default() };
        let mut all = self.list(scope, &page).await?;
        while let Some(next) = all.next.take() {
            page.next = Some(next);
            let more = self.list(scope, &page).await?;
            all.items.extend(more.items);
            all.next = more.next;
        }
        Ok(all)
    }

    async fn modify(&self, kind: &Kind, target: &Target, path: &str, change: &Modify) -> Result<Answer, ApiError> {
        let Target::Named(key, _) = target else { return Err(ApiError::bad_request("a change needs a name")) };
        let mut last = ApiError::stale(key.resource.group(), key.resource.plural(), &key.name);
        for _ in 0..ATTEMPTS {
            let plain = kind.path(key.namespace.as_ref(), Some(&key.name), None);
            let mut doc = Doc::from_value(self.call(Method::GET, plain, None).await?.0)?;
            change(&mut doc)?;
            match self.call(Method::PUT, path.to_owned(), Some(("application/json", whole(&doc)))).await {
                Err(error) if error.is_conflict() => last = error,
                other => return other,
            }
        }
        Err(last)
    }
}

/// Body, status code and warnings.
type Answer = (Value, u16, Vec<String>);

#[async_trait]
impl ObjectClient for RemoteClient {
    async fn get(&self, target: &Target, options: &ReadOptions) -> Result<Gotten, ApiError> {
        let Target::Named(key, sub) = target else { return Err(ApiError::bad_request("a get needs a name")) };
        let (kind, sub) = (Kind::of(&key.resource, None)?, sub.as_ref().map(Subresource::as_str));
        let mut query = Query::default();
        if options.freshness == Freshness::Any {
            query.add("resourceVersion", "0");
        }
        let path = query.after(kind.path(key.namespace.as_ref(), Some(&key.name), sub));
        let (object, ..) = self.call(Method::GET, path, None).await?;
        match sub {
            Some("scale") => Doc::from_value(object).map(Gotten::Made),
            _ => kind.stored(object).map(Gotten::Stored),
        }
    }

    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Listing, ApiError> {
        let (kind, mut query) = (Kind::of(&scope.resource, None)?, Query::default());
        query.select(&options.select);
        if let Some(limit) = options.limit {
            query.add("limit", limit.to_string());
        }
        match (&options.next, options.freshness) {
            (Some(next), _) => query.add("continue", &next.after),
            (None, Freshness::Latest) => {}
            (None, Freshness::Any) => query.add("resourceVersion", "0"),
            (None, Freshness::AtLeast(at)) => {
                query.add("resourceVersion", at.to_string());
                query.add("resourceVersionMatch", "NotOlderThan");
            }
            (None, Freshness::Exact(at)) => {
                query.add("resourceVersion", at.to_string());
                query.add("resourceVersionMatch", "Exact");
            }
        }
        let path = query.after(kind.path(scope.namespace.as_ref(), None, None));
        let (mut list, ..) = self.call(Method::GET, path, None).await?;
        let revision = revision_of(list["metadata"].get("resourceVersion"))?;
        let next = list["metadata"]["continue"].as_str().filter(|token| !token.is_empty());
        let next = next.map(|token| Continue { at: revision, after: token.to_owned() });
        let remaining = list["metadata"]["remainingItemCount"].as_u64();
        let items = match list["items"].take() {
            Value::Array(items) => items.into_iter().map(|item| kind.stored(item)).collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        Ok(Listing { items, revision, next, remaining })
    }

    async fn watch(&self, scope: &Scope, options: &WatchOptions) -> Result<WatchStream, ApiError> {
        let kind = Kind::of(&scope.resource, None)?;
        let (first, after) = match options.start {
            WatchStart::After(after) => (Vec::new(), after),
            WatchStart::Now => {
                let one = ListOptions { limit: Some(1), ..ListOptions::default() };
                (Vec::new(), self.list(scope, &one).await?.revision)
            }
            // The latest state is at least as fresh as any that was seen.
            WatchStart::Initial | WatchStart::InitialAtLeast(_) => {
                let state = self.state(scope, options).await?;
                let mut first: Vec<_> = state.items.into_iter().map(|now| Ok(WatchEvent::Added(now))).collect();
                first.push(Ok(WatchEvent::Bookmark { at: state.revision, initial_end: true }));
                (first, state.revision)
            }
        };
        let mut query = Query::default();
        query.add("watch", "true");
        query.add("resourceVersion", after.to_string());
        if options.bookmarks {
            query.add("allowWatchBookmarks", "true");
        }
        query.select(&options.select);
        let path = query.after(kind.path(scope.namespace.as_ref(), None, None));
        let answer = self.channel.send(Call { method: Method::GET, path, body: None }).await?;
        Ok(stream::iter(first).chain(events(kind, answer.into_body())).boxed())
    }

    async fn write(&self, request: WriteRequest) -> Result<Written, ApiError> {
        let WriteRequest { target, intent, mut options } = request;
        options.field_manager.get_or_insert_with(|| self.manager.to_string());
        let kind = Kind::of(target.resource(), options.version.as_ref())?;
        let (name, sub) = match &target {
            Target::Named(key, sub) => (Some(key.name.as_str()), sub.as_ref().map(Subresource::as_str)),
            Target::Generated { .. } | Target::Collection(_) => (None, None),
        };
        let mut query = Query::default();
        query.write(&options);
        let namespace = target.namespace();
        let path = |name: Option<&str>, query: Query| query.after(kind.path(namespace, name, sub));
        let json = |bytes: Bytes| Some(("application/json", bytes));
        let (object, code, warnings) = match intent {
            Intent::Create(mut doc) => {
                if let Target::Generated { prefix, .. } = &target {
                    doc.set(&["metadata", "generateName"], prefix.as_str());
                }
                let name = name.filter(|_| sub.is_some());
                self.call(Method::POST, path(name, query), json(whole(&doc))).await?
            }
            Intent::Replace(doc) => self.call(Method::PUT, path(name, query), json(whole(&doc))).await?,
            Intent::Patch(form, bytes) => {
                let body = patch(form, &bytes, &options.preconditions)?;
                self.call(Method::PATCH, path(name, query), Some(body)).await?
            }
            Intent::Modify(change) => self.modify(&kind, &target, &path(name, query), &change).await?,
            Intent::Delete(delete) => self.call(Method::DELETE, path(name, query), json(deletion(&delete))).await?,
            Intent::DeleteCollection(delete, list) => {
                query.select(&list.select);
                self.call(Method::DELETE, path(None, query), json(deletion(&delete))).await?
            }
        };
        Ok(Written { outcome: outcome(&kind, object, sub, &options)?, code, warnings })
    }
}

fn outcome(kind: &Kind, mut object: Value, sub: Option<&str>, options: &WriteOptions) -> Result<Outcome, ApiError> {
    if object["kind"] == "Status" {
        return Ok(Outcome::Status(object));
    }
    if let Some(Value::Array(items)) = object.get_mut("items").map(Value::take) {
        return items.into_iter().map(|item| kind.stored(item)).collect::<Result<_, _>>().map(Outcome::Collection);
    }
    let revision = object["metadata"].get("resourceVersion").is_some();
    if options.dry_run || !revision || sub.is_some_and(|sub| matches!(sub, "scale" | "token" | "eviction" | "binding"))
    {
        return Doc::from_value(object).map(Outcome::Unsaved);
    }
    kind.stored(object).map(Outcome::Persisted)
}

/// A document with its `resourceVersion`, which canonical bodies lack: without it, a replacement would overwrite what others wrote.
fn whole(doc: &Doc) -> Bytes {
    doc.value().to_string().into()
}

async fn read(body: Incoming) -> Result<Value, ApiError> {
    let bytes = body.collect().await.map_err(|error| ApiError::timeout(format!("the answer was lost: {error}")))?;
    serde_json::from_slice(&bytes.to_bytes())
        .map_err(|error| ApiError::internal(format!("the answer is not JSON: {error}")))
}

/// The texts of `Warning` headers (RFC 7234, 5.5): `299 - "text"`.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(http::header::WARNING).iter().filter_map(|value| value.to_str().ok());
    texts.filter_map(|text| Some(text.split_once('"')?.1.strip_suffix('"')?.replace("\\\"", "\""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use orc_core::ResourceId;
    use serde_json::json;

    #[test]
    fn a_replacement_carries_the_revision_that_was_read() {
        let doc = Doc::from_value(json!({"metadata": {"name": "a", "resourceVersion": "7"}})).unwrap();
        let sent: Value = serde_json::from_slice(&whole(&doc)).unwrap();
        assert_eq!(sent["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn what_a_write_answers_is_told_apart() {
        let kind = Kind::of(&ResourceId::parse("pods"), None).unwrap();
        let options = WriteOptions::default();
        let of = |object: Value, sub: Option<&str>| outcome(&kind, object, sub, &options).unwrap();
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "7"}});
        assert!(matches!(of(pod.clone(), Some("status")), Outcome::Persisted(stored) if stored.revision.0 == 7));
        assert!(matches!(of(json!({"kind": "Status", "status": "Success"}), Some("binding")), Outcome::Status(_)));
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": [pod]});
        assert!(matches!(of(list, None), Outcome::Collection(items) if items.len() == 1));
    }

    #[test]
    fn warnings_are_read() {
        let mut headers = HeaderMap::new();
        headers.append("warning", http::HeaderValue::from_static(r#"299 - "unknown field \"x\"""#));
        assert_eq!(warnings(&headers), [r#"unknown field "x""#]);
    }
}
