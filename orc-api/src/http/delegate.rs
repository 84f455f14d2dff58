//! Requests that another API server answers, and its groups in our discovery.

use std::sync::Arc;

use http::{Request, Response};
use orc_core::ApiError;
use orc_core::catalogue::Catalogue;
use serde_json::Value;

use super::connect::is_upgrade;
use super::proxy::rewrite;
use super::request::RequestInfo;
use super::service::ApiService;
use super::{Body, respond};
use crate::aggregation::{Form, Route, identify};
use crate::discovery;
use crate::identity::Identity;

impl ApiService {
    /// Who answers a request, where that is not the registry: what is below `/apis/<group>/<version>`, and its document of
    /// OpenAPI 3.
    pub(super) fn route(&self, info: &RequestInfo) -> Option<Arc<Route>> {
        let aggregator = self.aggregator()?;
        match info {
            RequestInfo::Resource(info) => aggregator.route(&info.group, &info.version),
            RequestInfo::Path { path, .. } => {
                let path = path.strip_prefix("/openapi/v3").unwrap_or(path);
                match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
                    ["apis", group, version] => aggregator.route(group, version),
                    _ => None,
                }
            }
        }
    }

    /// Passes a request on. What cannot be reached is told in kube-aggregator's words, as plain text.
    pub(super) async fn delegate(
        &self,
        route: &Route,
        who: &Identity,
        request: Request<Body>,
    ) -> Result<Response<Body>, ApiError> {
        let Some(aggregator) = self.aggregator().filter(|_| route.is_available()) else {
            return Ok(respond::text(503, "service unavailable\n"));
        };
        let upgrade = is_upgrade(request.headers());
        let (mut head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let host = head.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| head.uri.authority().map(|a| a.as_str())).unwrap_or_default().to_owned();
        head.headers = rewrite::headers(head.headers, &path, &host, upgrade)?;
        identify(&mut head.headers, who)?;
        head.uri = super::connect::uri(&path, head.uri.query().unwrap_or_default())?;
        // A server behind us speaks HTTP/1.1, whatever the client does.
        head.version = http::Version::HTTP_11;
        let body = if upgrade { respond::nothing_to_send() } else { body };
        let mut request = Request::from_parts(head, body);
        request.extensions_mut().clear();
        request.extensions_mut().insert(who.clone());
        let answer = aggregator.send(route, request).await;
        Ok(answer.unwrap_or_else(|error| respond::text(503, format!("error trying to reach service: {error}\n"))))
    }

    /// Adds the groups of other servers to a list of ours.
    pub(super) fn add_delegated(&self, form: Form, groups: &mut Value) {
        if let (Some(aggregator), Some(groups)) = (self.aggregator(), groups.as_array_mut()) {
            aggregator.add_groups(form, groups);
        }
    }

    /// `/` with the paths of other servers.
    pub(super) fn with_delegated_paths(&self, mut document: Value) -> Value {
        if let (Some(aggregator), Some(paths)) = (self.aggregator(), document["paths"].as_array_mut()) {
            paths.extend(aggregator.paths().into_iter().map(Value::from));
            paths.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            paths.dedup();
        }
        document
    }

    /// `/apis/<group>`, whoever serves its versions.
    pub(super) fn group(&self, catalogue: &Catalogue, name: &str) -> Option<Value> {
        if !self.aggregator().is_some_and(|aggregator| aggregator.knows(name)) {
            return discovery::group(catalogue, name);
        }
        let mut groups = Value::Array(discovery::group(catalogue, name).into_iter().collect());
        self.add_delegated(Form::Plain, &mut groups);
        let mut group = groups.as_array()?.iter().find(|group| group["name"] == name)?.clone();
        group["kind"] = "APIGroup".into();
        group["apiVersion"] = "v1".into();
        Some(group)
    }
}
