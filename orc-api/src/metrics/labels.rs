//! What tells requests apart in the metrics. Only what the server knows becomes a label: a client that asks for made-up
//! names must not fill the server's memory.

use http::Method;
use orc_core::catalogue::Catalogue;

use crate::http::RequestInfo;

/// The paths that are told apart; others are counted together.
const PATHS: [&str; 12] = [
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi/v2",
    "/openapi/v3",
    "/status",
    "/backup",
    "/ui/",
];

/// The labels of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Labels {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) verb: &'static str,
    pub(crate) scope: &'static str,
    pub(crate) dry_run: &'static str,
}

impl Labels {
    /// Reads them off a request.
    pub(crate) fn of(info: &RequestInfo, method: &Method, applies: bool, dry_run: bool, known: &Catalogue) -> Self {
        let labels = Self::plain(info, method, applies, known);
        let dry_run = if dry_run && labels.is_mutating() && !labels.is_long() { "All" } else { "" };
        Self { dry_run, ..labels }
    }

    fn plain(info: &RequestInfo, method: &Method, applies: bool, known: &Catalogue) -> Self {
        match info {
            RequestInfo::Path { path, .. } => {
                let path =
                    PATHS.iter().find(|known| *known == path || known.ends_with('/') && path.starts_with(**known));
                let subresource = path.map(ToString::to_string).unwrap_or_default();
                Self { subresource, verb: method_of(method), ..Self::default() }
            }
            RequestInfo::Resource(info) => {
                let verb = verb_of(info.verb, &info.subresource, applies);
                let Some(found) = known.resource(&info.group, &info.resource) else {
                    return Self { verb, ..Self::default() };
                };
                let version = found.version(&info.version);
                let subresource = version.and_then(|version| version.subresource(&info.subresource));
                let scope = match (info.name.is_empty() && info.verb != "create", info.namespace.is_empty()) {
                    (false, _) => "resource",
                    (true, false) => "namespace",
                    (true, true) => "cluster",
                };
                Self {
                    group: found.group.to_string(),
                    version: version.map(|version| version.name.to_string()).unwrap_or_default(),
                    resource: found.plural.clone(),
                    subresource: subresource.map(|found| found.name.clone()).unwrap_or_default(),
                    verb,
                    scope,
                    dry_run: "",
                }
            }
        }
    }

    /// As Prometheus reads them.
    pub(crate) fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("component", "apiserver"),
            ("dry_run", self.dry_run),
            ("group", &self.group),
            ("resource", &self.resource),
            ("scope", self.scope),
            ("subresource", &self.subresource),
            ("verb", self.verb),
            ("version", &self.version),
        ]
    }

    /// Whether the answer lasts as long as the client likes.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self.verb, "WATCH" | "CONNECT") || self.subresource == "log"
    }

    /// Whether the request changes something.
    pub(crate) fn is_mutating(&self) -> bool {
        !matches!(self.verb, "GET" | "LIST" | "WATCH" | "HEAD" | "OPTIONS")
    }
}

/// The verb by which kube-apiserver reports a request.
fn verb_of(verb: &str, subresource: &str, applies: bool) -> &'static str {
    match (verb, subresource) {
        (_, "exec" | "attach" | "portforward" | "proxy") => "CONNECT",
        ("get", _) => "GET",
        ("list", _) => "LIST",
        ("watch", _) => "WATCH",
        ("create", _) => "POST",
        ("update", _) => "PUT",
        ("patch", _) if applies => "APPLY",
        ("patch", _) => "PATCH",
        ("delete", _) => "DELETE",
        ("deletecollection", _) => "DELETECOLLECTION",
        _ => "other",
    }
}

fn method_of(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(method: Method, path: &str, watch: bool) -> Labels {
        Labels::of(&RequestInfo::resolve(&method, path, watch), &method, false, false, &Catalogue::builtin())
    }

    #[test]
    fn only_known_names_become_labels() {
        let pods = labels(Method::GET, "/api/v1/namespaces/d/pods", true);
        assert_eq!((pods.verb, pods.resource.as_str(), pods.scope), ("WATCH", "pods", "namespace"));
        assert!(pods.is_long() && !pods.is_mutating());
        let status = labels(Method::PUT, "/apis/apps/v1/namespaces/d/deployments/x/status", false);
        assert_eq!((status.verb, status.subresource.as_str(), status.scope), ("PUT", "status", "resource"));
        for made_up in ["/apis/x/v1/ys", "/api/v1/zs", "/apis/../../x"] {
            let labels = labels(Method::GET, made_up, false);
            assert_eq!(labels, Labels { verb: labels.verb, ..Labels::default() }, "{made_up}");
        }
        let odd = labels(Method::GET, "/api/v9/namespaces/d/pods/p/made-up", false);
        assert_eq!((odd.version.as_str(), odd.subresource.as_str()), ("", ""));
        assert_eq!(labels(Method::GET, "/ui/app.js", false).subresource, "/ui/");
    }
}
