//! A kind of an embedder's own, with rules in Rust.

use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use orc_api::OwnKind;
use orc_api::testing::ApiServer;
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use serde_json::{Value, json};

#[derive(serde::Deserialize)]
struct Room {
    spec: RoomSpec,
}

#[derive(serde::Deserialize)]
struct RoomSpec {
    first: i64,
    last: i64,
}

/// The days go forwards, and the first one stays.
fn days(new: &Room, old: Option<&Room>, errors: &mut FieldErrors) {
    let spec = FieldPath::new("spec");
    if new.spec.last < new.spec.first {
        errors.push(FieldError::invalid(&spec.child("last"), new.spec.last, "must not be before `first`"));
    }
    if old.is_some_and(|old| old.spec.first != new.spec.first) {
        errors.push(FieldError::forbidden(&spec.child("first"), "may not change"));
    }
}

fn definition() -> Value {
    let number = json!({"type": "integer"});
    json!({"metadata": {"name": "rooms.own.example"}, "spec": {"group": "own.example", "scope": "Namespaced",
        "names": {"plural": "rooms", "singular": "room", "kind": "Room"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
            "type": "object", "required": ["spec"], "properties": {
                "spec": {"type": "object", "required": ["first", "last"], "properties":
                    {"first": number, "last": number, "replicas": number}},
                "status": {"type": "object", "properties": {"replicas": number}}}}}}]}})
}

fn room(first: i64, last: i64) -> DynamicObject {
    let object = json!({"apiVersion": "own.example/v1", "kind": "Room", "metadata": {"name": "a"},
        "spec": {"first": first, "last": last, "replicas": 1}});
    serde_json::from_value(object).unwrap()
}

fn message<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => format!("{} {}", status.code, status.message),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn rules_in_rust_come_after_the_schema() {
    let server = ApiServer::start().await.unwrap();
    let kind = || OwnKind::of(definition()).status().scale(".spec.replicas", ".status.replicas").validate(days);
    server.registry().serve_kind(kind()).await.unwrap();
    server.registry().serve_kind(kind()).await.expect("again is fine");
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("own.example", "v1", "Room"), "rooms");
    let rooms: Api<DynamicObject> = Api::namespaced_with(server.client(), "default", &resource);

    let refused = message(rooms.create(&PostParams::default(), &room(2, 1)).await);
    assert_eq!(
        refused,
        "422 Room.own.example \"a\" is invalid: spec.last: Invalid value: 1: must not be before `first`"
    );
    let mut wrong = room(1, 2);
    wrong.data["spec"]["last"] = "x".into();
    let refused = message(rooms.create(&PostParams::default(), &wrong).await);
    assert!(refused.contains("spec.last in body must be of type integer"), "the schema speaks first: {refused}");

    rooms.create(&PostParams::default(), &room(1, 2)).await.unwrap();
    let later = Patch::Merge(json!({"spec": {"first": 2}}));
    let refused = message(rooms.patch("a", &PatchParams::default(), &later).await);
    assert!(refused.ends_with("spec.first: Forbidden: may not change"), "{refused}");

    let patch = |value: Value| Patch::Merge(value);
    let status = patch(json!({"spec": {"last": 9}, "status": {"replicas": 3}}));
    let told = rooms.patch_status("a", &PatchParams::default(), &status).await.unwrap();
    assert_eq!((&told.data["status"]["replicas"], &told.data["spec"]["last"]), (&json!(3), &json!(2)));
    let scaled =
        rooms.patch_scale("a", &PatchParams::default(), &patch(json!({"spec": {"replicas": 4}}))).await.unwrap();
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(4));
    assert_eq!(rooms.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_definition_that_breaks_the_rules_is_refused() {
    let server = ApiServer::start().await.unwrap();
    let mut wrong = definition();
    wrong["spec"]["names"]["plural"] = "Rooms!".into();
    let error = server.registry().serve_kind(OwnKind::of(wrong)).await.unwrap_err();
    assert_eq!(error.code(), 422, "{error}");
    let mut other = definition();
    other["metadata"]["name"] = "others.own.example".into();
    other["spec"]["names"]["plural"] = "others".into();
    server.registry().serve_kind(OwnKind::of(definition())).await.unwrap();
    let error = server.registry().serve_kind(OwnKind::of(other)).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
}
