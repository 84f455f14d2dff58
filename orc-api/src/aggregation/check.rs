//! Whether another API server is available, in the words of kube-aggregator's availability controller.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use orc_core::labels::{Operator, Requirement, Selector};
use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Store;
use orc_store::client::{Freshness, ListOptions, Scope, Selection};
use serde_json::Value;
use std::time::Duration;

use super::connection::{Connector, identify};
use super::route::{Behind, Place, Route};
use crate::Identity;
use crate::http::{Body, nothing_to_send};
use crate::identity::MASTERS;

/// How long the discovery document may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a server is asked before it counts as failing; kube-aggregator asks as often, all at once.
const ATTEMPTS: usize = 5;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Found {
    fn failed(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }

    fn unknown(reason: &'static str, behind: &Behind, error: &ApiError) -> Self {
        let Behind { namespace, name, .. } = behind;
        let message = format!("service/{name} in {namespace:?} cannot be checked due to: {error}");
        Self { status: "Unknown", reason, message }
    }

    pub(super) fn local() -> Self {
        let message = "Local APIServices are always available".to_owned();
        Self { status: "True", reason: "Local", message }
    }
}

/// Checks the Service and its endpoints, then asks for the discovery document, which is handed back.
pub(super) async fn check(store: &Store, connector: &Connector, route: &Route) -> (Found, Option<Value>) {
    if let Some(behind) = route.behind()
        && let Some(found) = missing(store, behind).await
    {
        return (found, None);
    }
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match fetch(connector, &route.place, &route.version.path()).await {
            Ok(document) => {
                let passed = Found { status: "True", reason: "Passed", message: "all checks passed".to_owned() };
                let here = matches!(route.place, Place::Here(_));
                return (if here { Found::local() } else { passed }, Some(document));
            }
            Err(error) => last = error,
        }
    }
    (Found::failed("FailedDiscoveryCheck", last), None)
}

/// What is missing between an APIService and its endpoints.
async fn missing(store: &Store, behind: &Behind) -> Option<Found> {
    let Behind { namespace, name, port, .. } = behind;
    let key = ObjectKey::namespaced(ResourceId::new("", "services"), namespace.as_str(), name.as_str());
    let service = match store.find(&key).await.and_then(|found| found.map(|stored| stored.to_doc()).transpose()) {
        Ok(Some(service)) => service,
        Ok(None) => {
            return Some(Found::failed("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
        }
        Err(error) => return Some(Found::unknown("ServiceAccessError", behind, &error)),
    };
    if service.str_at(&["spec", "type"]) != Some("ClusterIP") {
        return None;
    }
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).into_iter().flatten();
    let Some(found) = ports.into_iter().find(|p| p.get("port").and_then(Value::as_u64) == Some(u64::from(*port)))
    else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Some(Found::failed("ServicePortError", message));
    };
    let port_name = found.get("name").and_then(Value::as_str).unwrap_or_default();
    let slices = match slices(store, namespace, name).await {
        Ok(slices) => slices,
        Err(error) => return Some(Found::unknown("EndpointsAccessError", behind, &error)),
    };
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Found::failed("EndpointsNotFound", message));
    }
    let message =
        format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}");
    (!slices.iter().any(|slice| ready(slice, port_name))).then(|| Found::failed("MissingEndpoints", message))
}

async fn slices(store: &Store, namespace: &str, name: &str) -> Result<Vec<Doc>, ApiError> {
    let scope = Scope::within(ResourceId::new("discovery.k8s.io", "endpointslices"), namespace);
    let of = Requirement::new("kubernetes.io/service-name", Operator::Equals, [name.to_owned()]);
    let labels = Selector::of([of.map_err(ApiError::internal)?]);
    let select = Selection { labels, ..Selection::default() };
    let options = ListOptions { select, freshness: Freshness::Any, ..ListOptions::default() };
    store.list(&scope, &options).await?.items.iter().map(|item| item.to_doc()).collect()
}

/// Whether a slice has a ready endpoint and the port.
fn ready(slice: &Doc, port_name: &str) -> bool {
    let list = |field: &str| slice.at(&[field]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_ready = |e: &Value| e.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false);
    let of_name = |p: &Value| p.get("name").and_then(Value::as_str).unwrap_or_default() == port_name;
    list("endpoints").iter().any(is_ready) && list("ports").iter().any(|p| of_name(p) && p.get("port").is_some())
}

/// Reads a JSON document as the aggregator itself.
///
/// # Errors
/// A text for people.
pub(super) async fn fetch(connector: &Connector, place: &Place, path: &str) -> Result<Value, String> {
    let whole = async {
        let answer = connector.send(place, request(path)?).await?;
        read(answer, path).await
    };
    let url = match place {
        Place::Service(behind) => format!("https://{}:{}{path}", behind.host(), behind.port),
        Place::Here(_) => path.to_owned(),
    };
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(read) => read.map_err(|error| format!("failing or missing response from {url}: {error}")),
        Err(_) => Err(format!("timed out waiting for {url}")),
    }
}

fn request(path: &str) -> Result<Request<Body>, String> {
    let who =
        Identity { user: "system:kube-aggregator".to_owned(), groups: vec![MASTERS.to_owned()], ..Identity::default() };
    let request = Request::get(path).header(http::header::ACCEPT, "application/json");
    let mut request = request.body(nothing_to_send()).map_err(|error| error.to_string())?;
    identify(request.headers_mut(), &who).map_err(|error| error.to_string())?;
    request.extensions_mut().insert(who);
    Ok(request)
}

async fn read(answer: Response<Body>, path: &str) -> Result<Value, String> {
    if !answer.status().is_success() {
        return Err(format!("bad status from {path}: {}", answer.status().as_u16()));
    }
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default();
        if bytes.len() + data.len() > super::documents::MAX {
            return Err(format!("the document at {path} is too long"));
        }
        bytes.extend_from_slice(&data);
    }
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_endpoint_counts_when_it_is_ready_and_has_the_port() {
        let slice = |ready: Value, port: &str| {
            let slice = json!({"endpoints": [{"conditions": {"ready": ready}}], "ports": [{"name": port, "port": 1}]});
            Doc::from_value(slice).unwrap()
        };
        assert!(ready(&slice(json!(true), "https"), "https"));
        assert!(ready(&slice(Value::Null, ""), ""), "what is not said is ready");
        assert!(!ready(&slice(json!(false), "https"), "https"));
        assert!(!ready(&slice(json!(true), "http"), "https"));
    }
}
