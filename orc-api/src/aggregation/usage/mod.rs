//! `metrics.k8s.io/v1beta1`: what nodes and pods use, as metrics-server serves it, from the nodes' own `/stats/summary`.
//!
//! | module | holds |
//! |---|---|
//! | `sample` | what a node says, and the rates between two samples |
//! | `scrape` | the loop that asks the nodes |
//! | `objects` | NodeMetrics and PodMetrics |
//! | `openapi` | their schemas |
//!
//! Nothing is stored: after a start, usage is known when each node has been asked twice.

mod objects;
mod openapi;
mod sample;
mod scrape;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use orc_core::env::{Clock, System, Task};
use orc_core::{ApiError, Doc, Reason, ResourceId};
use orc_store::client::{Freshness, ListOptions, Scope, Selection};
use orc_store::{NodeDialer, Store};
use parking_lot::RwLock;
use serde_json::{Value, json};

use self::objects::Shape;
use self::sample::History;
use crate::http::{Body, Extra, Query, RequestInfo, Resolved, failed, shown};

/// The group that is served.
pub const GROUP: &str = "metrics.k8s.io";
/// The version that is served.
pub const VERSION: &str = "v1beta1";

/// The API of usage. Its loop ends when this is dropped.
pub struct UsageApi {
    store: Arc<Store>,
    histories: Arc<Histories>,
    clock: Clock,
    _scraper: Task,
}

/// What is known of each node, by its name.
type Histories = RwLock<BTreeMap<String, History>>;

impl UsageApi {
    /// Begins to ask the nodes in the store.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(store: &Arc<Store>, nodes: Arc<dyn NodeDialer>, system: &System) -> Arc<Self> {
        let histories = Arc::<Histories>::default();
        let scraper = scrape::run(store.clone(), nodes, histories.clone(), system.clock.clone());
        let scraper = system.spawn.spawn(scraper);
        Arc::new(Self { store: store.clone(), histories, clock: system.clock.clone(), _scraper: scraper })
    }

    async fn handle(&self, request: &http::request::Parts) -> Result<Value, ApiError> {
        let path = request.uri.path().trim_end_matches('/');
        match path {
            "/apis/metrics.k8s.io/v1beta1" => return Ok(discovery()),
            "/openapi/v3" => return Ok(openapi::index()),
            "/openapi/v3/apis/metrics.k8s.io/v1beta1" => return Ok(openapi::v3()),
            "/openapi/v2" => return Ok(openapi::v2()),
            _ => {}
        }
        let query = Query::parse(request.uri.query());
        let RequestInfo::Resource(info) = RequestInfo::resolve(&request.method, path, query.get("watch").is_some())
        else {
            return Err(no_page());
        };
        if !matches!(info.verb, "get" | "list") {
            return Err(ApiError::method_not_allowed(GROUP, &info.resource, info.verb));
        }
        let shape = match (info.resource.as_str(), info.subresource.as_str()) {
            ("nodes", "") if info.namespace.is_empty() => Shape::Nodes,
            ("pods", "") => Shape::Pods,
            _ => return Err(no_page()),
        };
        let made = self.objects(shape, &info, query.selection()?).await?;
        let form = objects::Form::of(request, &query);
        match (info.verb, made) {
            ("list", made) => Ok(form.list(shape, made)),
            (_, made) => match made.into_iter().next() {
                Some(one) => Ok(form.one(one)),
                None => Err(ApiError::not_found(GROUP, &info.resource, &info.name)),
            },
        }
    }

    /// The metrics of what is asked for and known, in the order of the store.
    async fn objects(&self, shape: Shape, info: &Resolved, select: Selection) -> Result<Vec<Value>, ApiError> {
        let resource = ResourceId::new("", &info.resource);
        let scope = match info.namespace.as_str() {
            "" => Scope::all(resource),
            namespace => Scope::within(resource, namespace),
        };
        let options = ListOptions { select, freshness: Freshness::Any, ..ListOptions::default() };
        let found = self.store.list(&scope, &options).await?.items;
        let named = found.iter().filter(|item| info.name.is_empty() || item.key.name.as_str() == info.name);
        let docs: Vec<Doc> = named.map(|item| item.to_doc()).collect::<Result<_, _>>()?;
        let (histories, now) = (self.histories.read(), self.clock.now());
        let make = |doc: &Doc| match shape {
            Shape::Nodes => objects::of_node(doc, histories.get(doc.name())?, now),
            Shape::Pods => {
                let node = doc.str_at(&["spec", "nodeName"])?;
                objects::of_pod(doc, histories.get(node)?, now)
            }
        };
        Ok(docs.iter().filter_map(make).collect())
    }
}

fn no_page() -> ApiError {
    ApiError::new(Reason::NotFound, "the server could not find the requested resource").with_details(Default::default())
}

fn discovery() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)]})
}

#[async_trait]
impl Extra for UsageApi {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, _) = request.into_parts();
        match self.handle(&head).await {
            Ok(value) => shown(&value),
            Err(error) => failed(&error),
        }
    }
}
