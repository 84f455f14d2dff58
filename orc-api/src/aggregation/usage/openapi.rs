//! Schemas of NodeMetrics and PodMetrics, for `kubectl explain` and clients that validate.

use serde_json::{Map, Value, json};

/// The fingerprint in the index; it moves with the schemas.
const HASH: &str = "1";

/// The names of definitions, as generated for `k8s.io/metrics`.
const PACKAGE: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";

/// The index of OpenAPI 3.
pub(super) fn index() -> Value {
    let path = "apis/metrics.k8s.io/v1beta1";
    json!({"paths": {path: {"serverRelativeURL": format!("/openapi/v3/{path}?hash={HASH}")}}})
}

/// The document of OpenAPI 3.
pub(super) fn v3() -> Value {
    json!({"openapi": "3.0.0", "info": {"title": "metrics.k8s.io", "version": "v1beta1"}, "paths": paths(&json_answer),
        "components": {"schemas": schemas("#/components/schemas/")}})
}

/// The Swagger document.
pub(super) fn v2() -> Value {
    let answer =
        |kind: &str| json!({"description": "OK", "schema": {"$ref": format!("#/definitions/{PACKAGE}.{kind}")}});
    json!({"swagger": "2.0", "info": {"title": "metrics.k8s.io", "version": "v1beta1"}, "paths": paths(&answer),
        "definitions": schemas("#/definitions/")})
}

fn json_answer(kind: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{PACKAGE}.{kind}")});
    json!({"description": "OK", "content": {"application/json": {"schema": schema}}})
}

fn paths(answer: &dyn Fn(&str) -> Value) -> Value {
    let below = "/apis/metrics.k8s.io/v1beta1";
    let get = |kind: &str, action: &str| {
        let of = kind.trim_end_matches("List");
        json!({"get": {"operationId": format!("{action}MetricsV1beta1{kind}"), "responses": {"200": answer(kind)},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": "metrics.k8s.io", "version": "v1beta1", "kind": of}}})
    };
    json!({
        format!("{below}/nodes"): get("NodeMetricsList", "list"),
        format!("{below}/nodes/{{name}}"): get("NodeMetrics", "get"),
        format!("{below}/pods"): get("PodMetricsList", "list"),
        format!("{below}/namespaces/{{namespace}}/pods"): get("PodMetricsList", "list"),
        format!("{below}/namespaces/{{namespace}}/pods/{{name}}"): get("PodMetrics", "get"),
    })
}

fn schemas(prefix: &str) -> Value {
    let own = |name: &str| json!({"$ref": format!("{prefix}{PACKAGE}.{name}")});
    let usage = json!({"type": "object", "additionalProperties": {"type": "string"},
        "description": "Amounts by resource: cpu in cores, memory (working set) in bytes."});
    let time = json!({"type": "string", "format": "date-time", "description": "End of the time the rates are of."});
    let window = json!({"type": "string", "description": "Length of the time the rates are of."});
    let mut all = Map::new();
    let kind = |name: &str, properties: Value, of_list: bool| {
        let mut schema = json!({"type": "object", "properties": properties, "x-kubernetes-group-version-kind":
            [{"group": "metrics.k8s.io", "version": "v1beta1", "kind": name}]});
        for field in ["apiVersion", "kind"] {
            schema["properties"][field] = json!({"type": "string"});
        }
        schema["properties"]["metadata"] = json!({"type": "object"});
        if of_list {
            schema["required"] = json!(["items"]);
        }
        schema
    };
    let list = |of: &str| json!({"items": {"type": "array", "items": own(of)}});
    let node = json!({"timestamp": time, "window": window, "usage": usage});
    let containers = json!({"type": "array", "items": own("ContainerMetrics")});
    let pod = json!({"timestamp": time, "window": window, "containers": containers});
    let container = json!({"type": "object", "required": ["name", "usage"],
        "properties": {"name": {"type": "string"}, "usage": usage}});
    for (name, schema) in [
        ("NodeMetrics", kind("NodeMetrics", node, false)),
        ("NodeMetricsList", kind("NodeMetricsList", list("NodeMetrics"), true)),
        ("PodMetrics", kind("PodMetrics", pod, false)),
        ("PodMetricsList", kind("PodMetricsList", list("PodMetrics"), true)),
        ("ContainerMetrics", container),
    ] {
        all.insert(format!("{PACKAGE}.{name}"), schema);
    }
    all.into()
}
