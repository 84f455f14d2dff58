//! Requests about paths: health, version, discovery, OpenAPI.

use http::{Request, Response};
use orc_core::{ApiError, Reason};
use serde_json::json;

use super::query::Query;
use super::service::ApiService;
use super::{Body, respond};

/// The Kubernetes level that is served.
const KUBERNETES_MINOR: &str = "36";

impl ApiService {
    pub(super) fn path(&self, path: &str, query: &Query, request: &Request<Body>) -> Result<Response<Body>, ApiError> {
        if request.method() != http::Method::GET && request.method() != http::Method::HEAD {
            return Err(ApiError::new(Reason::NotFound, "the server could not find the requested resource").with_details(Default::default()));
        }
        match path.trim_end_matches('/') {
            "/healthz" | "/livez" => Ok(self.health(path, query)),
            "/readyz" => Ok(self.health(path, query)),
            "/version" => Ok(respond::json(200, &version())),
            "/openapi/v2" => Ok(respond::json_slices(200, vec![crate::openapi::v2(&self.config().registry.catalogue())])),
            other if other.starts_with("/openapi/v3") => self.openapi(&other["/openapi/v3".len()..]),
            other => self.discovery(other, request),
        }
    }

    fn openapi(&self, rest: &str) -> Result<Response<Body>, ApiError> {
        let catalogue = self.config().registry.catalogue();
        match rest.trim_start_matches('/') {
            // kube-openapi leaves the type to Go's sniffing, which takes JSON for text.
            "" => Ok(respond::text(200, crate::openapi::index(&catalogue).to_string())),
            group_version => Ok(crate::openapi::v3(&catalogue, group_version)
                .map_or_else(respond::nothing, |document| respond::json_slices(200, vec![document]))),
        }
    }

    fn health(&self, path: &str, query: &Query) -> Response<Body> {
        if !query.flag("verbose") {
            return respond::text(200, "ok");
        }
        let name = path.trim_matches('/');
        respond::text(200, format!("[+]ping ok\n[+]store ok\n{name} check passed\n"))
    }
}

/// `/version`, as kubectl and client libraries read it.
fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": KUBERNETES_MINOR,
        "gitVersion": format!("v1.{KUBERNETES_MINOR}.0+orc-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH }),
        "emulationMajor": "1", "emulationMinor": KUBERNETES_MINOR, "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    })
}
