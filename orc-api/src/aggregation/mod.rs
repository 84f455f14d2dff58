//! APIServices: which groups and versions are served here, and which by other API servers.
//!
//! | module | holds |
//! |---|---|
//! | `local` | the APIServices of what this server serves itself |
//! | `route` | an APIService as this server uses it |
//! | `connection` | the way to the other server |
//! | `check` | whether it is available |
//! | `keep` | the loop that checks, and reads the documents of other servers |
//! | `documents`, `merge` | those documents, and their place among ours |
//! | `front_proxy` | how other servers know that a request comes from here |
//! | [`usage`] | `metrics.k8s.io`, served by this process |
//!
//! A request is authenticated, audited, authorized and given its turn here; the other server is told who asks. See
//! `docs/design/aggregation.md`.

mod check;
mod connection;
mod documents;
mod front_proxy;
mod keep;
mod local;
mod merge;
mod route;
pub mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Request, Response};
use orc_core::env::{Clock, System, Task};
use orc_core::{ApiError, ObjectKey, Reason, ResourceId};
use orc_store::Store;
use parking_lot::Mutex;
use serde_json::Value;

use crate::admission::webhook::ServiceResolver;
use crate::http::{Body, Extra};
use crate::pki::Pair;
use crate::registry::{Registry, RegistryClient};

use connection::Connector;
pub(crate) use connection::identify;
use documents::Documents;
pub use front_proxy::{FrontProxy, publish};
pub use local::{ensure, ensure_here};
pub(crate) use merge::Form;
pub(crate) use route::Route;
use route::Version;

/// What an [`Aggregator`] is made of.
pub struct AggregatorOptions {
    /// The certificate that proves to other servers that a request comes from here.
    pub certificate: Pair,
    /// Finds the Services of other servers.
    pub resolver: Arc<dyn ServiceResolver>,
    /// Groups and versions that this process serves beside the registry, such as `metrics.k8s.io/v1beta1`. They count while
    /// there is an APIService without a service for them, so that an APIService with one takes over. They are asked for
    /// `/apis/<group>/<version>`, everything below it, and `/openapi/v3`; requests carry an [`Identity`](crate::Identity).
    pub here: Vec<(String, String, Arc<dyn Extra>)>,
}

/// Passes requests on to the servers that APIServices name. Its loop ends when this is dropped.
pub struct Aggregator {
    shared: Arc<Shared>,
    _tasks: Vec<Task>,
}

/// What the loop and the requests share.
struct Shared {
    client: RegistryClient,
    store: Arc<Store>,
    connector: Connector,
    here: BTreeMap<Version, Arc<dyn Extra>>,
    routes: ArcSwap<BTreeMap<Version, Arc<Route>>>,
    /// What each server says of itself; of versions that have a route.
    documents: Mutex<BTreeMap<Version, Arc<Documents>>>,
    changed: tokio::sync::Notify,
    clock: Clock,
}

impl Aggregator {
    /// Begins to follow APIServices.
    ///
    /// # Errors
    /// When the store cannot be read or the certificate is not one.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(
        registry: &Arc<Registry>,
        options: AggregatorOptions,
        system: &System,
    ) -> Result<Arc<Self>, ApiError> {
        let shared = Arc::new(Shared {
            client: keep::client(registry),
            store: registry.store().clone(),
            connector: Connector::new(options.certificate, options.resolver)?,
            here: options.here.into_iter().map(|(group, version, by)| (Version { group, version }, by)).collect(),
            routes: ArcSwap::default(),
            documents: Mutex::default(),
            changed: tokio::sync::Notify::new(),
            clock: system.clock.clone(),
        });
        let tasks = keep::start(&shared, system).await?;
        Ok(Arc::new(Self { shared, _tasks: tasks }))
    }

    /// Who serves a group and version, where that is not the registry.
    pub(crate) fn route(&self, group: &str, version: &str) -> Option<Arc<Route>> {
        self.shared.routes.load().get(&Version { group: group.to_owned(), version: version.to_owned() }).cloned()
    }

    /// Whether versions of a group are served elsewhere.
    pub(crate) fn knows(&self, group: &str) -> bool {
        self.shared.routes.load().keys().any(|version| version.group == group)
    }

    /// Sends a request, whose headers say who asks, to the server of a route.
    ///
    /// # Errors
    /// A text for people.
    pub(crate) async fn send(&self, route: &Route, request: Request<Body>) -> Result<Response<Body>, String> {
        self.shared.connector.send(&route.place, request).await
    }
}

/// The refusal of a request that is another API server's business, in a server that passes nothing on; `None` when no
/// APIService says so.
pub(crate) fn refusal(store: &Store, group: &str, version: &str) -> Option<ApiError> {
    let name = format!("{version}.{group}");
    let key = ObjectKey::cluster(ResourceId::new("apiregistration.k8s.io", "apiservices"), name.as_str());
    let doc = store.peek(&key)?.to_doc().ok()?;
    let service = doc.at(&["spec", "service"]).filter(|service| service.is_object())?;
    let text = |field: &str| service.get(field).and_then(Value::as_str).unwrap_or_default();
    let why = format!(
        "this server passes no requests on to aggregated API servers: APIService {name:?} names service {}/{}",
        text("namespace"),
        text("name")
    );
    Some(ApiError::new(Reason::ServiceUnavailable, why))
}
