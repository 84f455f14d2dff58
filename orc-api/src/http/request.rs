//! What a request is about, read from its method, path and query.

use http::Method;

use crate::rbac::Attributes;

/// A request, resolved into Kubernetes' terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestInfo {
    /// About a resource.
    Resource(Resolved),
    /// About a path: health, version, discovery, OpenAPI.
    Path {
        /// The lower-case method.
        verb: String,
        /// The path.
        path: String,
    },
}

/// A request about a resource.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolved {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural resource name.
    pub resource: String,
    /// The sub-resource, or empty.
    pub subresource: String,
    /// What follows the sub-resource (proxied paths), or empty.
    pub rest: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
}

impl RequestInfo {
    /// Resolves a request. `path` is percent-encoded as it came.
    pub fn resolve(method: &Method, path: &str, watch: bool) -> Self {
        resolve(method, path, watch)
            .map(Self::Resource)
            .unwrap_or_else(|| Self::Path { verb: method.as_str().to_ascii_lowercase(), path: path.to_owned() })
    }

    /// What the authorizer is asked.
    pub fn attributes(&self) -> Attributes<'_> {
        match self {
            Self::Path { verb, path } => Attributes { verb, path, ..Attributes::default() },
            Self::Resource(r) => Attributes {
                verb: r.verb,
                group: &r.group,
                resource: &r.resource,
                subresource: &r.subresource,
                namespace: &r.namespace,
                name: &r.name,
                path: "",
                fields: None,
            },
        }
    }
}

fn resolve(method: &Method, path: &str, watch: bool) -> Option<Resolved> {
    let mut parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect::<Option<_>>()?;
    let head = match parts.first()?.as_str() {
        "api" => 2,
        "apis" => 3,
        _ => return None,
    };
    if parts.len() <= head {
        return None;
    }
    let mut rest = parts.split_off(head);
    let legacy_watch = rest.first().is_some_and(|p| p == "watch") && rest.len() > 1;
    if legacy_watch {
        rest.remove(0);
    }
    let mut info = Resolved { version: parts.pop()?, ..Resolved::default() };
    if head == 3 {
        info.group = parts.pop()?;
    }
    // `namespaces/x/<resource>` is inside the namespace; `namespaces/x` and its own sub-resources are the namespace.
    let own = ["status", "finalize"];
    if rest[0] == "namespaces" && rest.len() > 2 && !(rest.len() == 3 && own.contains(&rest[2].as_str())) {
        info.namespace = rest[1].clone();
        rest.drain(..2);
    }
    let mut rest = rest.into_iter();
    info.resource = rest.next()?;
    info.name = rest.next().unwrap_or_default();
    info.subresource = rest.next().unwrap_or_default();
    info.rest = rest.collect::<Vec<_>>().join("/");
    if info.resource == "namespaces" && head == 2 {
        info.namespace = info.name.clone();
    }
    // The query of a proxied request is not ours.
    let watch = watch && info.subresource.is_empty() || legacy_watch;
    info.verb = verb(method, !info.name.is_empty(), watch)?;
    Some(info)
}

fn verb(method: &Method, named: bool, watch: bool) -> Option<&'static str> {
    Some(match (method.as_str(), named) {
        ("GET" | "HEAD", _) if watch => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    })
}

/// Decodes `%XX`; `None` when that is not UTF-8 or broken.
pub(super) fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let hex = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(method: Method, path: &str) -> Resolved {
        match RequestInfo::resolve(&method, path, false) {
            RequestInfo::Resource(resolved) => resolved,
            RequestInfo::Path { path, .. } => panic!("{path} is about no resource"),
        }
    }

    #[test]
    fn paths_resolve() {
        let pods = resource(Method::GET, "/api/v1/namespaces/d/pods");
        assert_eq!((pods.verb, pods.namespace.as_str(), pods.resource.as_str()), ("list", "d", "pods"));
        let log = resource(Method::GET, "/api/v1/namespaces/d/pods/a/log");
        assert_eq!((log.verb, log.name.as_str(), log.subresource.as_str()), ("get", "a", "log"));
        let scale = resource(Method::PUT, "/apis/apps/v1/namespaces/d/deployments/w/scale");
        assert_eq!((scale.verb, scale.group.as_str(), scale.subresource.as_str()), ("update", "apps", "scale"));
        let namespace = resource(Method::DELETE, "/api/v1/namespaces/d");
        assert_eq!(
            (namespace.verb, namespace.resource.as_str(), namespace.name.as_str()),
            ("delete", "namespaces", "d")
        );
        let finalize = resource(Method::PUT, "/api/v1/namespaces/d/finalize");
        assert_eq!((finalize.resource.as_str(), finalize.subresource.as_str()), ("namespaces", "finalize"));
        let all = resource(Method::GET, "/apis/apps/v1/deployments");
        assert_eq!((all.verb, all.namespace.as_str()), ("list", ""));
        let proxy = resource(Method::GET, "/api/v1/namespaces/d/services/s:http/proxy/a/b");
        assert_eq!((proxy.subresource.as_str(), proxy.rest.as_str()), ("proxy", "a/b"));
    }

    #[test]
    fn the_rest_are_paths() {
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v3"] {
            assert!(matches!(RequestInfo::resolve(&Method::GET, path, false), RequestInfo::Path { .. }), "{path}");
        }
    }
}
