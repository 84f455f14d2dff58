//! Discovery: which groups, versions and resources are served; plain and aggregated.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use orc_core::ApiError;

use super::service::ApiService;
use super::{Body, respond};
use crate::discovery;

/// The aggregated form's media type.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl ApiService {
    pub(super) fn discovery(&self, path: &str, request: &Request<Body>) -> Result<Response<Body>, ApiError> {
        let catalogue = self.config().registry.catalogue();
        let aggregated = wants_aggregated(request);
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let document = match parts.as_slice() {
            [""] => Some(discovery::paths(&catalogue)),
            ["api"] if aggregated => return Ok(aggregate(&discovery::aggregated(&catalogue, true))),
            ["apis"] if aggregated => return Ok(aggregate(&discovery::aggregated(&catalogue, false))),
            ["api"] => Some(discovery::core_versions()),
            ["api", version] => discovery::resources(&catalogue, "", version),
            ["apis"] => Some(discovery::groups(&catalogue)),
            ["apis", group] => discovery::group(&catalogue, group),
            ["apis", group, version] => discovery::resources(&catalogue, group, version),
            _ => None,
        };
        let known = |group: &str| catalogue.resources().any(|info| &*info.group == group);
        match (document, parts.as_slice()) {
            (Some(document), _) => Ok(respond::json(200, &document)),
            (None, ["api", _]) => Err(respond::not_served()),
            (None, ["apis", group, _]) if known(group) => Err(respond::not_served()),
            (None, _) => Ok(respond::no_page()),
        }
    }
}

fn wants_aggregated(request: &Request<Body>) -> bool {
    let Some(accept) = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()) else { return false };
    let first =
        accept.split(',').map(str::trim).find(|clause| clause.starts_with("application/json") || *clause == "*/*");
    first.is_some_and(|clause| {
        let has = |part: &str| clause.split(';').any(|p| p.trim() == part);
        has("g=apidiscovery.k8s.io") && has("v=v2") && has("as=APIGroupDiscoveryList")
    })
}

fn aggregate(document: &serde_json::Value) -> Response<Body> {
    let mut response = respond::json(200, document);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    response
}
