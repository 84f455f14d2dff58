//! The options of a stream (`PodExecOptions`, `PodProxyOptions`, ...) as an object, and what admission says of them.
//!
//! The fields are those of the schema table; their values come from the query, a proxy's path from the URL.

use std::sync::Arc;

use orc_core::schema::{Cardinality, Schema, Type};
use orc_core::{ApiError, ObjectKey, ResourceId};
use serde_json::{Map, Value, json};

use super::proxy::rewrite;
use super::query::Query;
use super::request::Resolved;
use super::service::{ApiService, Call};
use crate::registry::Admitted;

/// The kind of the options of a sub-resource.
fn kind_of(resource: &str, subresource: &str) -> Option<&'static str> {
    Some(match (resource, subresource) {
        ("pods", "exec") => "PodExecOptions",
        ("pods", "attach") => "PodAttachOptions",
        ("pods", "portforward") => "PodPortForwardOptions",
        ("pods", "proxy") => "PodProxyOptions",
        ("services", "proxy") => "ServiceProxyOptions",
        ("nodes", "proxy") => "NodeProxyOptions",
        _ => return None,
    })
}

/// The options as an object. Zero values are left out, as their types say.
fn options(kind: &str, query: &Query, path: &str) -> Value {
    let mut out = Map::new();
    for field in Schema::builtin().message_of("", "v1", kind).iter().flat_map(|message| &message.fields) {
        let value = match (field.kind, field.cardinality) {
            _ if field.number == 0 => None,
            (Type::String, Cardinality::One) if field.json == "path" => Some(json!(path)).filter(|_| !path.is_empty()),
            (Type::Bool, _) => query.bool(field.json).then_some(json!(true)),
            (Type::String, Cardinality::List) => Some(json!(query.all(field.json))),
            (Type::Int32 | Type::Int64, Cardinality::List) => {
                let all = query.all(field.json);
                let numbers = all.iter().flat_map(|text| text.split(',')).filter_map(|text| text.parse::<i32>().ok());
                Some(numbers.collect::<Vec<_>>().into())
            }
            _ => query.get(field.json).filter(|text| !text.is_empty()).map(|text| json!(text)),
        };
        if let Some(value) = value.filter(|value| value.as_array().is_none_or(|all| !all.is_empty())) {
            out.insert(field.json.to_owned(), value);
        }
    }
    out.insert("kind".to_owned(), kind.into());
    out.insert("apiVersion".to_owned(), "v1".into());
    out.into()
}

/// The query that says what options say; the other way round from [`options`].
pub(super) fn query_of(options: &Value) -> Query {
    let mut pairs = Vec::new();
    let mut put = |name: &str, value: &Value| match value {
        Value::String(text) => pairs.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => pairs.push((name.to_owned(), value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    };
    for (name, value) in options.as_object().into_iter().flatten() {
        match value {
            _ if matches!(name.as_str(), "kind" | "apiVersion") => {}
            Value::Array(items) => items.iter().for_each(|item| put(name, item)),
            value => put(name, value),
        }
    }
    Query::of(pairs)
}

fn key(info: &Resolved) -> ObjectKey {
    let id = ResourceId::new(&info.group, &info.resource);
    match info.namespace.as_str() {
        "" => ObjectKey::cluster(id, info.name.as_str()),
        namespace => ObjectKey::namespaced(id, namespace, info.name.as_str()),
    }
}

impl ApiService {
    /// Asks admission about a stream: the warnings that go with the answer, and the options where they were changed. Nothing is
    /// asked of other requests.
    ///
    /// # Errors
    /// The refusal of a policy or webhook.
    pub(super) fn admit_stream(&self, call: &Call) -> impl Future<Output = Result<Admitted, ApiError>> + Send + use<> {
        let info = &call.info;
        let kind = kind_of(&info.resource, &info.subresource).filter(|_| info.group.is_empty());
        let asked = kind.map(|kind| {
            let (_, path) = rewrite::split(call.request.uri().path());
            let proxy = info.subresource == "proxy";
            (key(info), info.subresource.clone(), options(kind, &call.query, if proxy { path } else { "" }))
        });
        let (registry, who) = (Arc::clone(&self.config().registry), call.who.clone());
        async move {
            match asked {
                Some((key, subresource, options)) => registry.admit_connect(&key, &subresource, options, &who).await,
                None => Ok(Admitted::default()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_the_query_says() {
        let query = Query::parse(Some("stdin=true&stdout=0&command=sh&command=-c&container=c"));
        assert_eq!(
            options("PodExecOptions", &query, ""),
            json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "container": "c", "command": ["sh", "-c"]})
        );
        assert_eq!(
            options("PodPortForwardOptions", &Query::parse(Some("ports=80,81&ports=90")), ""),
            json!({"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": [80, 81, 90]})
        );
        assert_eq!(
            options("ServiceProxyOptions", &Query::parse(None), "/a/b"),
            json!({"kind": "ServiceProxyOptions", "apiVersion": "v1", "path": "/a/b"})
        );
        let changed = json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "command": ["sh", "a b"]});
        assert_eq!(options("PodExecOptions", &query_of(&changed), ""), changed);
    }
}
