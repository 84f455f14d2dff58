//! `pods/log`: passed on to the node that runs the pod.

use http::{Request, Response, Uri};
use k8s_openapi::api::core::v1::Pod;
use orc_core::ApiError;
use orc_store::client::{ObjectClient as _, ReadOptions, Target};
use tower::{Service as _, ServiceExt as _};

use super::object::target;
use super::service::{ApiService, Call};
use super::{Body, respond};

impl ApiService {
    pub(super) async fn logs(&self, call: Call) -> Result<Response<Body>, ApiError> {
        let served = self.served(&call.info)?;
        let Target::Named(key, _) = target(&call, &served) else {
            return Err(ApiError::internal("a log request names no pod"));
        };
        let gotten = self.client(&call).get(&Target::object(key), &ReadOptions::default()).await?;
        let pod = gotten.stored()?.view::<Pod>()?;
        let container = container(&pod, call.query.get("container"))?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        if node.is_empty() {
            return Ok(respond::text(200, ""));
        }
        let path = format!("/containerLogs/{}/{}/{container}", call.info.namespace, call.info.name);
        let query = call.request.uri().query().unwrap_or_default();
        let uri: Uri =
            format!("{path}?{query}").parse().map_err(|e| ApiError::bad_request(format!("log options: {e}")))?;
        let mut request = Request::new(respond::full(bytes::Bytes::new()));
        *request.uri_mut() = uri;
        let mut service = self.config().nodes.dial(&node).await?;
        let ready = service.ready().await.map_err(|e| ApiError::unavailable(format!("node {node}: {e}")))?;
        ready.call(request).await.map_err(|e| ApiError::unavailable(format!("node {node}: {e}")))
    }
}

/// The container that is meant: the one named, or the only one, or the annotated default.
fn container(pod: &Pod, named: Option<&str>) -> Result<String, ApiError> {
    let Some(spec) = &pod.spec else { return Err(ApiError::internal("a pod has no spec")) };
    let plain: Vec<&str> = spec.containers.iter().map(|c| c.name.as_str()).collect();
    let init: Vec<&str> = spec.init_containers.iter().flatten().map(|c| c.name.as_str()).collect();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let refuse = |why: String| Err(ApiError::bad_request(why));
    match named {
        Some(named) if plain.contains(&named) || init.contains(&named) => Ok(named.to_owned()),
        Some(named) => refuse(format!("container {named} is not valid for pod {name}")),
        None => match plain.as_slice() {
            [only] => Ok((*only).to_owned()),
            many => {
                let mut why =
                    format!("a container name must be specified for pod {name}, choose one of: [{}]", many.join(" "));
                if !init.is_empty() {
                    why.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
                }
                refuse(why)
            }
        },
    }
}
