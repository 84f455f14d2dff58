//! Requests about paths: health, version, discovery, OpenAPI.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use orc_core::catalogue::Served;
use orc_core::{ApiError, Reason};
use serde_json::json;

use super::query::Query;
use super::service::ApiService;
use super::{Body, etag, pretty, respond};

/// The Kubernetes level that is served.
pub(crate) const KUBERNETES_MINOR: &str = "36";

/// The media type of the Swagger document in protobuf.
const SWAGGER_PROTO: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The same as a content type: a media type may not contain an `@`, so kube-openapi answers with a dot.
const SWAGGER_PROTO_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

impl ApiService {
    pub(super) fn path(&self, path: &str, request: &Request<Body>) -> Result<Response<Body>, ApiError> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Err(ApiError::new(Reason::NotFound, "the server could not find the requested resource")
                .with_details(Default::default()));
        }
        match path.trim_end_matches('/') {
            // kube-apiserver always writes this one for people.
            "/version" => Ok(pretty::finished(respond::json(200, &version()))),
            "/.well-known/openid-configuration" => Ok(self.openid(request)),
            "/openid/v1/jwks" => Ok(self.token_keys()),
            "/openapi/v2" => Ok(self.swagger(request)),
            other if other.starts_with("/openapi/v3") => self.openapi(&other["/openapi/v3".len()..], request),
            other => {
                let found = self.discovery(other, request)?;
                let read = pretty::asked(request.headers(), &Query::parse(request.uri().query()));
                Ok(if read { pretty::finished(found) } else { found })
            }
        }
    }

    /// Where others find the keys of service account tokens (OpenID Connect discovery).
    fn openid(&self, request: &Request<Body>) -> Response<Body> {
        let host = request.headers().get(http::header::HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)).unwrap_or("localhost");
        let issuer = self.config().registry.signer().issuer();
        let keys = format!("https://{host}/openid/v1/jwks");
        public(&crate::identity::keys::configuration(issuer, &keys), "application/json")
    }

    fn token_keys(&self) -> Response<Body> {
        let keys = [self.config().registry.signer().jwk()];
        public(&json!({"keys": keys}), "application/jwk-set+json")
    }

    /// The Swagger document; in protobuf for clients that put that first.
    fn swagger(&self, request: &Request<Body>) -> Response<Body> {
        let catalogue = self.config().registry.catalogue();
        let find = |served: &Served| self.config().registry.published(served);
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut document = crate::openapi::v2(&catalogue, &find);
        if let Some(aggregator) = self.aggregator() {
            aggregator.add_to_swagger(&mut document);
        }
        if accept.trim_start().starts_with(SWAGGER_PROTO) {
            let mut response = respond::json_slices(200, vec![crate::openapi::v2_proto(&document)]);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SWAGGER_PROTO_TYPE));
            return response;
        }
        let bytes = bytes::Bytes::from(document.to_string());
        etag::marked(request.headers(), &etag::mark(&bytes), || respond::json_slices(200, vec![bytes]))
    }

    fn openapi(&self, rest: &str, request: &Request<Body>) -> Result<Response<Body>, ApiError> {
        let catalogue = self.config().registry.catalogue();
        let find = |served: &Served| self.config().registry.published(served);
        match rest.trim_start_matches('/') {
            // kube-openapi leaves the type to Go's sniffing, which takes JSON for text.
            "" => {
                let mut index = crate::openapi::index(&catalogue, &find);
                if let Some(aggregator) = self.aggregator() {
                    aggregator.add_to_index(&mut index);
                }
                let index = index.to_string();
                Ok(etag::marked(request.headers(), &etag::mark(index.as_bytes()), || respond::text(200, index)))
            }
            path => Ok(match crate::openapi::v3(&catalogue, &find, path.trim_end_matches('/')) {
                None => respond::nothing(),
                Some(document) => self.openapi_document(path, &document, request),
            }),
        }
    }

    /// One document: by its mark it may be kept for ever, by an old mark it has moved, by none it is the present one.
    fn openapi_document(
        &self,
        path: &str,
        document: &crate::openapi::Document,
        request: &Request<Body>,
    ) -> Response<Body> {
        let find = |served: &Served| self.config().registry.published(served);
        let asked = etag::asked(request);
        if asked.is_some_and(|asked| asked != document.hash) {
            return etag::moved(&format!("/openapi/v3/{path}"), &document.hash);
        }
        let response =
            etag::marked(request.headers(), &document.hash, || respond::json_slices(200, vec![document.render(&find)]));
        if asked.is_some() { etag::immutable(response, self.config().clock.now()) } else { response }
    }

    /// Answers paths of health, to those who only read.
    pub(super) async fn health(&self, path: &str, query: &Query, method: &Method) -> Option<Response<Body>> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if reads { self.checks().answer(path, query, &self.config().clock).await } else { None }
    }
}

/// A document that changes seldom; its readers may keep it for an hour.
fn public(document: &serde_json::Value, media_type: &'static str) -> Response<Body> {
    let mut response = respond::json(200, document);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// The version of Kubernetes with that of orc.
pub(crate) fn git_version() -> String {
    format!("v1.{KUBERNETES_MINOR}.0+orc-{}", env!("CARGO_PKG_VERSION"))
}

/// `/version`, as kubectl and client libraries read it.
fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": KUBERNETES_MINOR,
        "gitVersion": git_version(),
        "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH }),
        "emulationMajor": "1", "emulationMinor": KUBERNETES_MINOR, "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
    })
}
