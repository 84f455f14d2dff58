//! ValidatingAdmissionPolicy.

use std::sync::Arc;

use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use serde_json::{Value, json};

use crate::support::{Server, key, server, shown, until};

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

async fn mutates(server: &Server, resource: (&str, &str), expression: &str) {
    let rule =
        json!({"operations": ["*"], "apiGroups": [resource.0], "apiVersions": ["v1"], "resources": [resource.1]});
    let spec = json!({"reinvocationPolicy": "Never", "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]});
    let api = "admissionregistration.k8s.io/v1";
    let object = json!({"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": "m"}, "spec": spec});
    server.create("mutatingadmissionpolicies.admissionregistration.k8s.io", object).await.unwrap();
    let object = json!({"apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": "m"},
        "spec": {"policyName": "m"}});
    server.create("mutatingadmissionpolicybindings.admissionregistration.k8s.io", object).await.unwrap();
}

fn deployment(name: &str) -> Value {
    let container = json!({"name": "a", "image": "i", "args": ["x"], "env": [{"name": "K", "value": "1"}]});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}})
}

#[tokio::test]
async fn configurations_merge_lists_by_their_keys() {
    let server = new_server().await;
    let containers = "[Object.spec.template.spec.containers{name: 'a', env: [Object.spec.template.spec.containers.env{\
        name: 'L', value: '2'}]}, Object.spec.template.spec.containers{name: 'side', image: 'k'}]";
    let spec = format!(
        "Object.spec{{template: Object.spec.template{{spec: Object.spec.template.spec{{containers: {containers}}}}}}}"
    );
    mutates(&server, ("apps", "deployments"), &format!("Object{{spec: {spec}}}")).await;
    let mut i = 0;
    until(|| {
        i += 1;
        let (server, name) = (&server, format!("d{i}"));
        async move {
            let made = shown(server.create("deployments.apps", deployment(&name)).await.unwrap());
            let containers = &made["spec"]["template"]["spec"]["containers"];
            let seen = |at: usize, field: &str| containers[at][field].clone();
            seen(1, "name") == "side"
                && (seen(0, "image"), seen(0, "args")) == (json!("i"), json!(["x"]))
                && seen(0, "env") == json!([{"name": "K", "value": "1"}, {"name": "L", "value": "2"}])
        }
    })
    .await;
}

#[tokio::test]
async fn configurations_may_not_set_what_is_atomic() {
    let server = new_server().await;
    let arguments = "[Object.spec.template.spec.containers{name: 'a', args: ['y']}]";
    let spec = format!(
        "Object.spec{{template: Object.spec.template{{spec: Object.spec.template.spec{{containers: {arguments}}}}}}}"
    );
    mutates(&server, ("apps", "deployments"), &format!("Object{{spec: {spec}}}")).await;
    let mut i = 0;
    until(|| {
        i += 1;
        let (server, name) = (&server, format!("d{i}"));
        async move {
            let Err(error) = server.create("deployments.apps", deployment(&name)).await else { return false };
            let why = "policy 'm' with binding 'm' denied request: error applying patch: invalid ApplyConfiguration: may \
                not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].args";
            assert_eq!(error.code(), 403);
            assert!(error.message().ends_with(why), "{error}");
            true
        }
    })
    .await;
}

#[tokio::test]
async fn a_type_check_is_told_in_the_status() {
    let server = new_server().await;
    let _checks = tokio::spawn(server.registry.policy_status());
    let name = "validatingadmissionpolicies.admissionregistration.k8s.io";
    policy(
        &server,
        json!({"validations": [{"expression": "object.date.n == '1'"}]}),
        json!({"validationActions": ["Deny"]}),
    )
    .await;
    let seen = || async { server.get(name, "p").await };
    until(|| async { seen().await["status"]["observedGeneration"] == 1 }).await;
    let warning =
        "/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'date'\n | object.date.n == '1'\n | ......^\n";
    let told = json!({"expressionWarnings": [{"fieldRef": "spec.validations[0].expression", "warning": warning}]});
    assert_eq!(seen().await["status"]["typeChecking"], told);
    let validations = json!([{"expression": "object.data.n == '1'"}]);
    server.patch(key(name, "p"), json!({"spec": {"validations": validations}})).await.unwrap();
    until(|| async { seen().await["status"]["observedGeneration"] == 2 }).await;
    assert_eq!(seen().await["status"]["typeChecking"]["expressionWarnings"], json!(null));
}
