//! `pods/exec`, `pods/attach` and `pods/portforward`: passed on to the node that runs the pod.
//!
//! The node ends the protocol; what goes through here after the upgrade is bytes. Everything that can fail before the upgrade is
//! answered as a `Status`.

use std::future::Future;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, Uri};
use k8s_openapi::api::core::v1::Pod;
use orc_core::{ApiError, ObjectKey, ResourceId};
use orc_store::client::{ObjectClient as _, ReadOptions, Target};
use tower::{Service as _, ServiceExt as _};

use super::connect_options::query_of;
use super::query::Query;
use super::request::Resolved;
use super::service::{ApiService, Call};
use super::{Body, logs, respond};
use crate::identity::Identity;
use crate::rbac::Attributes;

/// Whether a request is about one of the sub-resources that connect to a pod.
pub(super) fn is_remote(group: &str, resource: &str, subresource: &str) -> bool {
    group.is_empty() && resource == "pods" && matches!(subresource, "exec" | "attach" | "portforward")
}

impl ApiService {
    /// Connects to a container or to a pod's ports.
    pub(super) async fn connect(&self, mut call: Call) -> Result<Response<Body>, ApiError> {
        self.may_create(&call.who, &call.info).await?;
        let admitted = self.admit_stream(&call).await?;
        if let Some(options) = &admitted.changed {
            call.query = query_of(options);
        }
        let pod = self.pod_of(&call).await?;
        let name = &call.info.name;
        let path = match call.info.subresource.as_str() {
            "portforward" => format!("/portForward/{}/{name}", call.info.namespace),
            what => {
                let container = logs::container(&pod, call.query.get("container"))?;
                format!("/{what}/{}/{name}/{container}", call.info.namespace)
            }
        };
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|node| !node.is_empty());
        let node = node.ok_or_else(|| ApiError::bad_request(format!("pod {name} does not have a host assigned")))?;
        if !is_upgrade(call.request.headers()) {
            return Err(ApiError::bad_request("Upgrade request required"));
        }
        let query = node_query(&call.query, &call.info.subresource)?;
        let (parts, _) = call.request.into_parts();
        let mut request = Request::new(respond::full(bytes::Bytes::new()));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri(&path, &query)?;
        *request.headers_mut() = passed_on(parts.headers);
        let mut response = self.ask_node(&node, request).await?;
        respond::warn(&mut response, &admitted.warnings);
        Ok(response)
    }

    /// A client that connects by GET, as WebSockets do, must be allowed to create as well: since 1.35 (feature gate
    /// `AuthorizePodWebsocketUpgradeCreatePermission`) reading alone opens no shell.
    async fn may_create(&self, who: &Identity, info: &Resolved) -> Result<(), ApiError> {
        let asks = Attributes {
            verb: "create",
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            ..Attributes::default()
        };
        let allowed = self.config().registry.authorizer().decide(who, &asks).await;
        if allowed { Ok(()) } else { Err(asks.refuse(who)) }
    }

    /// The pod that a request is about. Not an `async fn`: a request's body cannot be held across an await by reference.
    pub(super) fn pod_of(&self, call: &Call) -> impl Future<Output = Result<Arc<Pod>, ApiError>> + Send + use<> {
        let (client, info) = (self.client(call), &call.info);
        let key = ObjectKey::namespaced(ResourceId::of::<Pod>(), info.namespace.as_str(), info.name.as_str());
        async move { client.get(&Target::object(key), &ReadOptions::default()).await?.stored()?.view::<Pod>() }
    }

    /// Sends a request to a node's HTTP API.
    pub(super) async fn ask_node(&self, node: &str, request: Request<Body>) -> Result<Response<Body>, ApiError> {
        let mut service = self.config().nodes.dial(node).await?;
        let failed = |error| ApiError::unavailable(format!("node {node}: {error}"));
        service.ready().await.map_err(failed)?.call(request).await.map_err(failed)
    }
}

/// A path and query as a target of a request.
pub(super) fn uri(path: &str, query: &str) -> Result<Uri, ApiError> {
    let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    text.parse().map_err(|error| ApiError::bad_request(format!("the request's path or query: {error}")))
}

/// Whether a client asks for another protocol on its connection.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// The client's headers without those that were for this server alone.
pub(super) fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    let impersonates = headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned();
    for name in impersonates.collect::<Vec<_>>() {
        headers.remove(name);
    }
    for name in [AUTHORIZATION, HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// The options of `PodExecOptions`, `PodAttachOptions` and `PodPortForwardOptions` under the kubelet's names
/// (`streamParams` of `pkg/registry/core/pod/strategy.go`).
fn node_query(query: &Query, subresource: &str) -> Result<String, ApiError> {
    let mut out = Vec::new();
    if subresource == "portforward" {
        for port in query.all("ports").iter().flat_map(|text| text.split(',')) {
            let number: i32 = port
                .parse()
                .map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing {port:?}: invalid syntax")))?;
            out.push(format!("port={number}"));
        }
        // Channels of a WebSocket have their ports in the query, under the kubelet's name, as some clients send it.
        out.extend(query.all("port").iter().map(|port| format!("port={}", encoded(port))));
        return Ok(out.join("&"));
    }
    for (name, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.bool(name) {
            out.push(format!("{theirs}=1"));
        }
    }
    if subresource == "exec" {
        out.extend(query.all("command").iter().map(|word| format!("command={}", encoded(word))));
    }
    Ok(out.join("&"))
}

fn encoded(text: &str) -> impl std::fmt::Display {
    percent_encoding::utf8_percent_encode(text, super::RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_get_the_kubelets_names() {
        let query =
            Query::parse(Some("stdin=true&stdout=1&stderr=false&tty&command=sh&command=-c&command=a%20%26&x=1"));
        assert_eq!(node_query(&query, "exec").unwrap(), "input=1&output=1&tty=1&command=sh&command=-c&command=a%20%26");
        assert_eq!(node_query(&query, "attach").unwrap(), "input=1&output=1&tty=1");
        let query = Query::parse(Some("ports=80,81&ports=90"));
        assert_eq!(node_query(&query, "portforward").unwrap(), "port=80&port=81&port=90");
        assert_eq!(node_query(&Query::parse(Some("ports=a")), "portforward").unwrap_err().code(), 400);
    }

    #[test]
    fn upgrades_are_seen_and_secrets_kept() {
        let mut headers = HeaderMap::new();
        assert!(!is_upgrade(&headers));
        headers.insert(CONNECTION, "keep-alive, Upgrade".parse().unwrap());
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        headers.insert("impersonate-user", "y".parse().unwrap());
        assert!(is_upgrade(&headers));
        let left: Vec<String> = passed_on(headers).keys().map(ToString::to_string).collect();
        assert_eq!(left, ["connection"]);
    }
}
