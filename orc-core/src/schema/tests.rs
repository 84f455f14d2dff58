//! Tests of the table and its codecs, on small pieces of what a real server answered.

use serde_json::{Value, json};

use super::{Schema, canonical, check, decode_json, prune, written};

fn message(version: &str, kind: &str) -> super::MessageRef {
    Schema::builtin().message_of_type(version, kind).unwrap()
}

#[test]
fn the_table_is_whole() {
    let schema = Schema::builtin();
    assert!(schema.messages().count() > 600);
    for m in schema.messages() {
        for field in &m.fields {
            assert!(std::ptr::eq(m.field(field.json).unwrap(), field), "{} {} is found", m.name, field.json);
        }
    }
    let container = message("v1", "Pod").field("spec").unwrap().message().unwrap().field("containers").unwrap();
    assert_eq!(container.patch.merge_key, Some("name"));
    assert_eq!(container.message().unwrap().openapi_name(), "io.k8s.api.core.v1.Container");
    assert_eq!(message("apps/v1", "DeleteOptions").go_name(), "v1.DeleteOptions");
    assert!(schema.message_of_type("v1", "Nope").is_none());
}

#[test]
fn inlined_parts_stand_in_the_parent() {
    let volume = Schema::builtin().message("k8s.io.api.core.v1.Volume").unwrap();
    assert!(volume.field("emptyDir").is_some() && volume.field("volumeSource").is_none());
}

#[test]
fn strict_errors_in_document_order() {
    let body = br#"{"spec":{"containers":[{"name":"c","nope":1,"env":[{"name":"A","valeu":"x"}]}]},"z9":0,"z10":1}"#;
    let decoded = decode_json(body, Some(message("v1", "Pod"))).unwrap();
    assert_eq!(
        decoded.strict_error().unwrap(),
        "strict decoding error: unknown field \"spec.containers[0].nope\", unknown field \"spec.containers[0].env[0].valeu\", \
         unknown field \"z9\", unknown field \"z10\""
    );
    assert_eq!(decoded.value, json!({"spec": {"containers": [{"name": "c", "env": [{"name": "A"}]}]}}));
}

#[test]
fn duplicates_are_reported_and_the_last_wins() {
    let body = br#"{"data":{"a":"1","a":"2"},"immutable":false,"immutable":true}"#;
    let decoded = decode_json(body, Some(message("v1", "ConfigMap"))).unwrap();
    assert_eq!(
        decoded.strict_error().unwrap(),
        "strict decoding error: duplicate field \"data.a\", duplicate field \"immutable\""
    );
    assert_eq!(decoded.value, json!({"data": {"a": "2"}, "immutable": true}));
}

#[test]
fn custom_objects_keep_everything_but_metadata_is_typed() {
    let decoded = decode_json(br#"{"metadata":{"name":"w","bogus":1},"spec":{"size":"a","size":"b"}}"#, None).unwrap();
    assert_eq!(
        decoded.strict.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["unknown field \"metadata.bogus\"", "duplicate field \"spec.size\""]
    );
    assert_eq!(decoded.value, json!({"metadata": {"name": "w"}, "spec": {"size": "b"}}));
}

#[test]
fn wrong_types_in_gos_words() {
    let wrong = |version, kind, body: Value| check(&body, Some(message(version, kind))).unwrap_err().to_string();
    assert_eq!(
        wrong("v1", "ConfigMap", json!({"data": {"a": 1}})),
        "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"
    );
    assert_eq!(
        wrong("apps/v1", "Deployment", json!({"spec": {"replicas": "three"}})),
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        wrong("apps/v1", "Deployment", json!({"spec": {"replicas": 1_099_511_627_776_i64}})),
        "json: cannot unmarshal number 1099511627776 into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(wrong("v1", "ConfigMap", json!({"binaryData": {"a": "!!"}})), "illegal base64 data at input byte 0");
    assert!(
        wrong("v1", "Pod", json!({"spec": {"overhead": {"cpu": "lots"}}}))
            .starts_with("quantities must match the regular expression")
    );
    assert!(wrong("v1", "Pod", json!({"spec": []})).contains("array into Go struct field Pod.spec of type v1.PodSpec"));
}

#[test]
fn bodies_that_are_no_json() {
    assert_eq!(decode_json(b"{\"a\":", None).unwrap_err().to_string(), "unexpected end of JSON input");
    assert!(decode_json(b"{} x", None).is_err());
}

#[test]
fn quantities_and_times_become_canonical() {
    let body = json!({"spec": {"overhead": {"cpu": "1000m", "memory": 5}}, "status": {"startTime": "2024-01-01T01:00:00.5+01:00"}});
    let mut value = check(&body, Some(message("v1", "Pod"))).unwrap().value;
    assert_eq!(
        value,
        json!({"spec": {"overhead": {"cpu": "1", "memory": "5"}}, "status": {"startTime": "2024-01-01T00:00:00.5Z"}})
    );
    written(&mut value, message("v1", "Pod"));
    assert_eq!(value["status"]["startTime"], "2024-01-01T00:00:00Z", "fractions are checked and never written");
}

#[test]
fn canonical_is_what_go_writes() {
    let mut pod = json!({"metadata": {"name": "p", "labels": {}, "creationTimestamp": null},
        "spec": {"hostNetwork": false, "automountServiceAccountToken": false, "containers": [{"tty": false, "command": []}]}});
    canonical(&mut pod, message("v1", "Pod"));
    assert_eq!(
        pod,
        json!({"metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": false,
            "containers": [{"name": "", "resources": {}}]}, "status": {}})
    );
    let mut node = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    canonical(&mut node, message("v1", "Node"));
    assert_eq!(
        node["status"]["conditions"],
        json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": null, "lastTransitionTime": null}])
    );
    let again = {
        let mut n = node.clone();
        canonical(&mut n, message("v1", "Node"));
        n
    };
    assert_eq!(again, node, "canonical is idempotent");
}

#[test]
fn schemas_of_definitions_are_understood() {
    let crd = message("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let body = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"a": {
        "items": {"type": "string", "bogus": 1}, "additionalProperties": false, "default": {"x": null}}}}}}]}});
    let decoded = check(&body, Some(crd)).unwrap();
    assert_eq!(
        decoded.strict[0].to_string(),
        "unknown field \"spec.versions[0].schema.openAPIV3Schema.properties.a.items.bogus\""
    );
    let a = &decoded.value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"];
    assert_eq!(*a, json!({"items": {"type": "string"}, "additionalProperties": false, "default": {"x": null}}));
}

#[test]
fn prune_drops_unknown_fields_only() {
    let mut value = json!({"a": 1, "metadata": {"name": "x", "b": 1}, "spec": {"containers": [{"c": 1, "name": "n"}]}});
    prune(&mut value, message("v1", "Pod"));
    assert_eq!(value, json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "n"}]}}));
}
