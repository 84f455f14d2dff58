//! Discovery: which groups, versions and resources are served; plain and aggregated.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use orc_core::ApiError;

use super::service::ApiService;
use super::{Body, etag, respond};
use crate::aggregation::Form;
use crate::discovery;

/// The aggregated form's media type.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl ApiService {
    pub(super) fn discovery(&self, path: &str, request: &Request<Body>) -> Result<Response<Body>, ApiError> {
        let catalogue = self.config().registry.catalogue();
        let aggregated = wants_aggregated(request);
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let document = match parts.as_slice() {
            [""] => Some(self.with_delegated_paths(discovery::paths(&catalogue))),
            ["api"] if aggregated => return Ok(aggregate(request, &discovery::aggregated(&catalogue, true))),
            ["apis"] if aggregated => {
                let mut document = discovery::aggregated(&catalogue, false);
                self.add_delegated(Form::Aggregated, &mut document["items"]);
                return Ok(aggregate(request, &document));
            }
            ["api"] => Some(discovery::core_versions()),
            ["api", version] => discovery::resources(&catalogue, "", version),
            ["apis"] => {
                let mut document = discovery::groups(&catalogue);
                self.add_delegated(Form::Plain, &mut document["groups"]);
                Some(document)
            }
            ["apis", group] => self.group(&catalogue, group),
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

fn aggregate(request: &Request<Body>, document: &serde_json::Value) -> Response<Body> {
    let bytes = bytes::Bytes::from(document.to_string());
    let mark = etag::mark(&bytes);
    let mut response = etag::marked(request.headers(), &mark, || respond::json_slices(200, vec![bytes]));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    response
}
