//! What becomes of objects when their definition is made, changed and deleted.

use std::sync::Arc;

use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use serde_json::json;

use crate::support::{CRDS, WIDGETS, definition, server, until, version, widget};

#[tokio::test]
async fn a_definition_is_in_force_once_it_is_established_on_every_server() {
    let (backend, system) = (Arc::new(MemoryBackend::new()), System::real());
    let (one, two) = (server(backend.clone(), &system).await, server(backend, &system).await);
    one.create("v1", CRDS, definition(json!([version("v1", true, json!({"a": {"type": "string"}}))]))).await.unwrap();
    one.established().await;
    one.create("v1", WIDGETS, widget("v1", "x", json!({"a": "1", "gone": 2}))).await.unwrap();
    two.established().await;
    assert_eq!(two.get("v1", WIDGETS, "x").await.unwrap()["spec"], json!({"a": "1"}));
    // Status is written once, whoever was first: no server rewrites what the other wrote.
    let before = one.get("v1", CRDS, WIDGETS).await.unwrap();
    two.create("v1", WIDGETS, widget("v1", "y", json!({}))).await.unwrap();
    assert_eq!(one.get("v1", CRDS, WIDGETS).await.unwrap(), before);
}

#[tokio::test]
async fn a_change_of_a_schema_shows_in_what_is_stored_already() {
    let (backend, system) = (Arc::new(MemoryBackend::new()), System::real());
    let one = server(backend, &system).await;
    let fields = json!({"a": {"type": "string"}, "b": {"type": "string"}});
    one.create("v1", CRDS, definition(json!([version("v1", true, fields)]))).await.unwrap();
    one.established().await;
    one.create("v1", WIDGETS, widget("v1", "x", json!({"a": "1", "b": "2"}))).await.unwrap();
    let mut next = version("v1", true, json!({"a": {"type": "string"}, "c": {"type": "integer", "default": 7}}));
    next["selectableFields"] = json!([{"jsonPath": ".spec.a"}]);
    one.patch("v1", (CRDS, WIDGETS), json!({"spec": {"versions": [next]}})).await.unwrap();
    // The very next request is under the new schema.
    assert_eq!(one.get("v1", WIDGETS, "x").await.unwrap()["spec"], json!({"a": "1", "c": 7}));
    let refused = one.create("v1", WIDGETS, widget("v1", "y", json!({"c": "text"}))).await.unwrap_err();
    assert!(refused.message().contains("spec.c in body must be of type integer"), "{refused}");
    assert_eq!(one.list("v1", "spec.a=1").await.unwrap().len(), 1);
    assert_eq!(one.list("v1", "spec.a=2").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_with_it_and_waits_for_finalizers() {
    let (backend, system) = (Arc::new(MemoryBackend::new()), System::real());
    let (one, two) = (server(backend.clone(), &system).await, server(backend, &system).await);
    one.create("v1", CRDS, definition(json!([version("v1", true, json!({}))]))).await.unwrap();
    one.established().await;
    let mut held = widget("v1", "held", json!({}));
    held["metadata"]["finalizers"] = json!(["a.io/b"]);
    one.create("v1", WIDGETS, held).await.unwrap();
    one.create("v1", WIDGETS, widget("v1", "free", json!({}))).await.unwrap();
    one.delete(CRDS, WIDGETS).await.unwrap();
    until(async || one.get("v1", WIDGETS, "free").await.is_err_and(|error| error.is_not_found())).await;
    let refused = one.create("v1", WIDGETS, widget("v1", "late", json!({}))).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (405, "create not allowed while custom resource definition is terminating")
    );
    assert!(one.get("v1", CRDS, WIDGETS).await.is_ok());
    two.patch("v1", (WIDGETS, "held"), json!({"metadata": {"finalizers": null}})).await.unwrap();
    until(async || one.get("v1", CRDS, WIDGETS).await.is_err_and(|error| error.is_not_found())).await;
    assert!(one.get("v1", WIDGETS, "held").await.is_err_and(|error| error.is_not_found()));
    until(async || two.0.catalogue().by_name("widgets").is_none()).await;
}
