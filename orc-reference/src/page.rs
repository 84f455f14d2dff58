//! The web page at `/ui/`: plain files, built into the program. They hold nothing that is anybody's secret, so everybody may
//! load them; what the page shows it asks of the API, as whoever signs in there.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use orc_api::RegistryClient;
use orc_api::bootstrap;
use orc_api::http::{Body, Extra};
use orc_core::ApiError;
use serde_json::json;

/// Where the files are.
pub const PATH: &str = "/ui/";
/// Leads to them.
pub const ROOT: &str = "/ui";

/// Nothing from elsewhere, nothing inline, in nobody's frame, and no form or base that leads away.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// Name, media type and content.
const FILES: [(&str, &str, &str); 7] = [
    ("", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("../page/api.js")),
    ("views.js", "text/javascript; charset=utf-8", include_str!("../page/views.js")),
    ("drawer.js", "text/javascript; charset=utf-8", include_str!("../page/drawer.js")),
];

/// Lets everybody load the page.
///
/// # Errors
/// When the role or its binding can neither be found nor made.
pub async fn ensure(admin: &RegistryClient) -> Result<(), ApiError> {
    let (api, name) = ("rbac.authorization.k8s.io", "orc:page");
    let version = format!("{api}/v1");
    let role = json!({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [{"verbs": ["get"], "nonResourceURLs": [ROOT, PATH, "/ui/*"]}]});
    let subject = |name: &str| json!({"kind": "Group", "name": name, "apiGroup": api});
    let binding = json!({"apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
        "subjects": [subject("system:authenticated"), subject("system:unauthenticated")]});
    bootstrap::put(admin, &role).await?;
    bootstrap::put(admin, &binding).await
}

/// Answers with the files.
pub fn files() -> Arc<dyn Extra> {
    Arc::new(Files)
}

struct Files;

#[async_trait]
impl Extra for Files {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        if path == ROOT {
            let mut response = answer(StatusCode::MOVED_PERMANENTLY, "text/plain", "");
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PATH));
            return response;
        }
        let name = path.strip_prefix(PATH).unwrap_or(path);
        match FILES.iter().find(|(file, ..)| *file == name || name == "index.html" && file.is_empty()) {
            Some((_, media_type, content)) => answer(StatusCode::OK, media_type, content),
            None => answer(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
        }
    }
}

fn answer(code: StatusCode, media_type: &'static str, content: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(content.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = [
        (header::CONTENT_TYPE, media_type),
        // The files change with the program, and come from near.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    headers
        .into_iter()
        .for_each(|(name, value)| drop(response.headers_mut().insert(name, HeaderValue::from_static(value))));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str) -> (u16, String) {
        let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let response = files().answer(Request::get(path).body(body).unwrap()).await;
        assert!(
            response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'")
        );
        let code = response.status().as_u16();
        (code, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_page_needs_nothing_that_is_not_there_and_nothing_inline() {
        assert_eq!((get("/ui").await.0, get("/ui/no.js").await.0), (301, 404));
        let (code, page) = get("/ui/").await;
        assert_eq!(code, 200);
        assert!(!page.contains("style=") && !page.contains("onclick=") && page.matches("<script").count() == 1);
        let mut wanted: Vec<String> = Vec::new();
        for (_, _, content) in FILES {
            for (before, after) in [("href=\"", "\""), ("src=\"", "\""), ("from \"./", "\"")] {
                wanted.extend(
                    content.split(before).skip(1).filter_map(|rest| Some(rest.split(after).next()?.to_owned())),
                );
            }
        }
        assert!(wanted.len() > 6, "{wanted:?}");
        for name in wanted {
            let code = get(&format!("/ui/{}", name.trim_start_matches("./"))).await.0;
            assert_eq!(code, 200, "{name}");
        }
    }
}
