//! ValidatingAdmissionPolicy.

use std::sync::Arc;

use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use serde_json::{Value, json};

use crate::support::{Server, server, shown, until};

async fn policy(server: &Server, spec: Value, binding: Value) {
    let rule = json!({"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    let mut spec = spec;
    spec["matchConstraints"] = json!({"resourceRules": [rule]});
    let api = "admissionregistration.k8s.io/v1";
    let object =
        json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec});
    server.create("validatingadmissionpolicies.admissionregistration.k8s.io", object).await.unwrap();
    let mut bound = binding;
    bound["policyName"] = json!("p");
    let object = json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": bound});
    server.create("validatingadmissionpolicybindings.admissionregistration.k8s.io", object).await.unwrap();
}

async fn new_server() -> Server {
    server(Arc::new(MemoryBackend::new()), &System::real()).await
}

#[tokio::test]
async fn parameters_variables_and_messages() {
    let server = new_server().await;
    server.config("limit", json!({}), json!({"max": "3"})).await.unwrap();
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "not-params", "expression": "request.name != 'limit'"}],
        "variables": [{"name": "n", "expression": "int(object.data.n)"}, {"name": "max", "expression": "int(params.data.max)"}],
        "validations": [{"expression": "variables.n <= variables.max", "reason": "Forbidden",
            "messageExpression": "'n is ' + string(variables.n) + ', at most ' + string(variables.max)"}]});
    let reference = json!({"name": "limit", "namespace": "d", "parameterNotFoundAction": "Deny"});
    policy(&server, spec, json!({"paramRef": reference, "validationActions": ["Deny"]})).await;
    let mut i = 0;
    until(|| {
        i += 1;
        let name = format!("probe{i}");
        let server = &server;
        async move { server.config(&name, json!({}), json!({"n": "9"})).await.is_err() }
    })
    .await;
    let error = server.config("a", json!({}), json!({"n": "4"})).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            403,
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: n is 4, at most 3"
        )
    );
    server.config("a", json!({}), json!({"n": "3"})).await.unwrap();
    let error = server.config("b", json!({}), json!({})).await.unwrap_err();
    assert!(error.message().contains("resulted in error: "), "{error}");
}

#[tokio::test]
async fn deletions_are_validated_by_what_was_there() {
    let server = new_server().await;
    let spec = json!({"validations": [
        {"expression": "request.operation != 'DELETE' || !('keep' in oldObject.metadata.?labels.orValue({}))", "message": "keep it"}]});
    policy(&server, spec, json!({"validationActions": ["Deny"]})).await;
    server.config("a", json!({"keep": "x"}), json!({})).await.unwrap();
    until(|| async {
        match server.delete("configmaps", "a").await {
            Err(error) => error.message().ends_with("denied request: keep it"),
            Ok(_) => server.config("a", json!({"keep": "x"}), json!({})).await.is_err(),
        }
    })
    .await;
    server.config("b", json!({}), json!({})).await.unwrap();
    server.delete("configmaps", "b").await.unwrap();
}

#[tokio::test]
async fn mutations_set_and_patch_in_order() {
    let server = new_server().await;
    let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    let set = "Object{metadata: Object.metadata{labels: {'set': 'by-' + request.name}}}";
    let patch = "[JSONPatch{op: 'add', path: '/metadata/labels/seen', value: object.metadata.labels['set']}]";
    let spec = json!({"reinvocationPolicy": "Never", "matchConstraints": {"resourceRules": [rule]}, "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": set}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}]});
    let api = "admissionregistration.k8s.io/v1";
    let object = json!({"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "m"}, "spec": spec});
    server.create("mutatingadmissionpolicies.admissionregistration.k8s.io", object).await.unwrap();
    let object = json!({"apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "m"},
        "spec": {"policyName": "m"}});
    server.create("mutatingadmissionpolicybindings.admissionregistration.k8s.io", object).await.unwrap();
    let mut i = 0;
    until(|| {
        i += 1;
        let (server, name) = (&server, format!("c{i}"));
        async move {
            let made = shown(server.config(&name, json!({"x": "y"}), json!({})).await.unwrap());
            let by = format!("by-{name}");
            made["metadata"]["labels"] == json!({"x": "y", "set": by, "seen": by})
        }
    })
    .await;
}

#[tokio::test]
async fn expressions_are_checked_when_they_are_written() {
    let server = new_server().await;
    let rule = json!({"operations": ["*"], "apiGroups": ["x"], "apiVersions": ["v1"], "resources": ["things"]});
    let api = "admissionregistration.k8s.io/v1";
    for (expression, text) in [
        ("1 + 1", "spec.validations[0].expression: Invalid value: \"1 + 1\": must evaluate to bool but got int"),
        ("params.x == 1", "spec.validations[0].expression: Invalid value: \"params.x == 1\": compilation failed: "),
    ] {
        let spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]});
        let object =
            json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec});
        let error =
            server.create("validatingadmissionpolicies.admissionregistration.k8s.io", object).await.unwrap_err();
        assert_eq!(error.code(), 422);
        assert!(error.message().contains(text), "{error}");
    }
}
