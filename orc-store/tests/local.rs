//! The rules of any object, through the verbs and the typed face.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use orc_core::env::System;
use orc_core::{Doc, ObjectKey, Reason, ResourceId};
use orc_store::client::{
    DeleteOptions, Intent, ListOptions, ObjectClient, Outcome, PatchKind, Preconditions, Propagation, Scope,
    Subresource, Target, WriteOptions, WriteRequest,
};
use orc_store::{Api, LocalClient, Store, Stored};
use serde_json::{Value, json};

async fn client() -> Arc<dyn ObjectClient> {
    let system = System::seeded(1, "2026-01-01T00:00:00.5Z".parse().unwrap());
    Arc::new(LocalClient::new(Store::in_memory(&system).await, &system))
}

fn doc(value: Value) -> Doc {
    Doc::from_value(value).unwrap()
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c"}]}})
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced(ResourceId::new("", "pods"), "d", name)
}

async fn write(client: &dyn ObjectClient, target: Target, intent: Intent) -> Result<Arc<Stored>, orc_core::ApiError> {
    client.write(WriteRequest::new(target, intent)).await?.stored()
}

async fn create(client: &dyn ObjectClient, value: Value) -> Arc<Stored> {
    let name = value["metadata"]["name"].as_str().unwrap().to_owned();
    write(client, Target::object(key(&name)), Intent::Create(doc(value))).await.unwrap()
}

async fn merge(client: &dyn ObjectClient, target: Target, patch: Value) -> Result<Arc<Stored>, orc_core::ApiError> {
    write(client, target, Intent::Patch(PatchKind::Merge, serde_json::to_vec(&patch).unwrap().into())).await
}

#[tokio::test(start_paused = true)]
async fn new_objects_get_what_the_system_gives() {
    let client = client().await;
    let mut brought = pod("a");
    brought["metadata"]["uid"] = "mine".into();
    brought["metadata"]["generation"] = 9.into();
    brought["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
    brought["status"] = json!({"phase": "Running"});
    let stored = create(&*client, brought).await;
    assert_eq!(stored.head.uid.len(), 36);
    assert_eq!((stored.head.generation, stored.head.deletion), (Some(1), None));
    let made = stored.to_doc().unwrap();
    assert_eq!(made.str_at(&["metadata", "creationTimestamp"]), Some("2026-01-01T00:00:00Z"));
    assert_eq!((made.namespace(), made.at(&["status"])), ("d", None));
    let again = write(&*client, Target::object(key("a")), Intent::Create(doc(pod("a")))).await.unwrap_err();
    assert_eq!(again.message(), "pods \"a\" already exists");
    let mut revised = pod("b");
    revised["metadata"]["resourceVersion"] = "5".into();
    let refused = write(&*client, Target::object(key("b")), Intent::Create(doc(revised))).await.unwrap_err();
    assert_eq!(refused.message(), "resourceVersion should not be set on objects to be created");
    let misplaced = write(&*client, Target::object(key("b")), Intent::Create(doc(pod("a")))).await.unwrap_err();
    assert_eq!(misplaced.reason(), Reason::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn names_are_generated() {
    let client = client().await;
    let api: Api<Pod> = Api::namespaced(client, "d");
    let mut pod = Pod::default();
    pod.metadata.generate_name = Some("web-".to_owned());
    let (one, two) = (api.create(&pod).await.unwrap(), api.create(&pod).await.unwrap());
    let (one, two) = (one.metadata.name.clone().unwrap(), two.metadata.name.clone().unwrap());
    assert!(one.starts_with("web-") && one.len() == 9 && one != two);
}

#[tokio::test(start_paused = true)]
async fn status_and_the_rest_are_apart_and_generations_count() {
    let client = client().await;
    create(&*client, pod("a")).await;
    let both = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"nodeName": "n"}, "status": {"phase": "Failed"}});
    let status = merge(&*client, Target::status(key("a")), both.clone()).await.unwrap();
    let now = status.to_doc().unwrap();
    assert_eq!((now.str_at(&["status", "phase"]), now.at(&["spec", "nodeName"])), (Some("Failed"), None));
    assert_eq!((status.head.generation, status.head.labels.len()), (Some(1), 0));
    let mut main = both;
    main["status"]["phase"] = "Running".into();
    let stored = merge(&*client, Target::object(key("a")), main).await.unwrap();
    let now = stored.to_doc().unwrap();
    assert_eq!((now.str_at(&["status", "phase"]), now.str_at(&["spec", "nodeName"])), (Some("Failed"), Some("n")));
    assert_eq!((stored.head.generation, stored.head.labels.len()), (Some(2), 1));
    let labelled =
        merge(&*client, Target::object(key("a")), json!({"metadata": {"labels": {"x": "z"}}})).await.unwrap();
    assert_eq!(labelled.head.generation, Some(2));
    let no_op = merge(&*client, Target::object(key("a")), json!({"metadata": {"labels": {"x": "z"}}})).await.unwrap();
    assert_eq!(no_op.revision, labelled.revision, "a write that changes nothing is not a change");
    let odd = Target::Named(key("a"), Some(Subresource::SCALE));
    assert_eq!(merge(&*client, odd, json!({})).await.unwrap_err().code(), 405);
}

#[tokio::test(start_paused = true)]
async fn a_given_revision_must_match_and_an_absent_one_retries() {
    let client = client().await;
    let first = create(&*client, pod("a")).await;
    merge(&*client, Target::object(key("a")), json!({"spec": {"x": 1}})).await.unwrap();
    let stale = write(&*client, Target::object(key("a")), Intent::Replace(first.to_doc().unwrap())).await.unwrap_err();
    let text = "Operation cannot be fulfilled on pods \"a\": the object has been modified; \
        please apply your changes to the latest version and try again";
    assert_eq!((stale.code(), stale.message()), (409, text));
    let mut open = first.to_doc().unwrap();
    open.remove(&["metadata", "resourceVersion"]);
    write(&*client, Target::object(key("a")), Intent::Replace(open.clone())).await.unwrap();
    open.set(&["metadata", "uid"], "other");
    let other = write(&*client, Target::object(key("a")), Intent::Replace(open)).await.unwrap_err();
    assert!(other.is_conflict() && other.message().contains("Precondition failed: UID in precondition: other"));
    let adders = (0..20).map(|n| {
        let client = client.clone();
        async move {
            let add = move |doc: &mut Doc| {
                doc.set(&["spec", &format!("by{n}")], n);
                Ok(())
            };
            write(&*client, Target::object(key("a")), Intent::Modify(Arc::new(add))).await.unwrap()
        }
    });
    futures::future::join_all(adders).await;
    let now =
        client.get(&Target::object(key("a")), &Default::default()).await.unwrap().stored().unwrap().to_doc().unwrap();
    assert!((0..20).all(|n| now.at(&["spec", &format!("by{n}")]).is_some()), "no modification is lost");
}

#[tokio::test(start_paused = true)]
async fn patches_of_kinds_that_need_the_registry_say_so() {
    let client = client().await;
    create(&*client, pod("a")).await;
    for kind in [PatchKind::Strategic, PatchKind::Apply] {
        let error = write(&*client, Target::object(key("a")), Intent::Patch(kind, "{}".into())).await.unwrap_err();
        assert_eq!(error.code(), 415);
    }
    let patch = json!([{"op": "test", "path": "/spec/containers/0/name", "value": "c"}, {"op": "add", "path": "/spec/x", "value": 1}]);
    let patch = Intent::Patch(PatchKind::Json, serde_json::to_vec(&patch).unwrap().into());
    let stored = write(&*client, Target::object(key("a")), patch).await.unwrap();
    assert_eq!(stored.to_doc().unwrap().at(&["spec", "x"]), Some(&json!(1)));
    let broken =
        write(&*client, Target::object(key("a")), Intent::Patch(PatchKind::Merge, "{".into())).await.unwrap_err();
    assert_eq!(broken.code(), 400);
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let client = client().await;
    let mut held = pod("a");
    held["metadata"]["finalizers"] = json!(["x/one", "x/two"]);
    create(&*client, held).await;
    let delete = || write(&*client, Target::object(key("a")), Intent::Delete(DeleteOptions::default()));
    let marked = delete().await.unwrap();
    assert!(marked.head.is_terminating());
    assert_eq!((marked.head.generation, marked.head.grace_seconds), (Some(2), Some(0)));
    assert_eq!(delete().await.unwrap().revision, marked.revision, "a second deletion changes nothing");
    let more = json!({"metadata": {"finalizers": ["x/one", "x/two", "x/three"]}});
    let refused = merge(&*client, Target::object(key("a")), more).await.unwrap_err();
    let text = "Pod \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being \
        deleted, found new finalizers []string{\"x/three\"}";
    assert_eq!(refused.message(), text);
    merge(&*client, Target::object(key("a")), json!({"metadata": {"finalizers": ["x/two"]}})).await.unwrap();
    merge(&*client, Target::object(key("a")), json!({"metadata": {"finalizers": null}})).await.unwrap();
    let gone = client.get(&Target::object(key("a")), &Default::default()).await.unwrap_err();
    assert_eq!(gone.message(), "pods \"a\" not found");
}

#[tokio::test(start_paused = true)]
async fn propagation_is_written_into_finalizers() {
    let client = client().await;
    for (name, propagation, finalizer) in
        [("a", Propagation::Orphan, "orphan"), ("b", Propagation::Foreground, "foregroundDeletion")]
    {
        create(&*client, pod(name)).await;
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let marked = write(&*client, Target::object(key(name)), Intent::Delete(options)).await.unwrap();
        assert_eq!(*marked.head.finalizers, [finalizer]);
        let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        write(&*client, Target::object(key(name)), Intent::Delete(options)).await.unwrap();
        assert!(client.get(&Target::object(key(name)), &Default::default()).await.unwrap_err().is_not_found());
    }
}

#[tokio::test(start_paused = true)]
async fn preconditions_and_dry_runs_hold_back() {
    let client = client().await;
    let stored = create(&*client, pod("a")).await;
    let wrong = Preconditions { uid: Some("other".to_owned()), revision: None };
    let options = DeleteOptions { preconditions: wrong, ..DeleteOptions::default() };
    let refused = write(&*client, Target::object(key("a")), Intent::Delete(options)).await.unwrap_err();
    let text = format!(
        "Operation cannot be fulfilled on pods \"a\": Precondition failed: UID in precondition: other, UID in object meta: {}",
        stored.head.uid
    );
    assert_eq!(refused.message(), text);
    let dry = |target, intent| {
        let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
        client.write(WriteRequest { target, intent, options })
    };
    dry(Target::object(key("a")), Intent::Delete(DeleteOptions::default())).await.unwrap();
    let made = dry(Target::object(key("b")), Intent::Create(doc(pod("b")))).await.unwrap();
    assert!(matches!(made.outcome, Outcome::Unsaved(_)));
    let listing = client.list(&Scope::all(ResourceId::new("", "pods")), &ListOptions::default()).await.unwrap();
    assert_eq!(listing.items, [stored]);
}

#[tokio::test(start_paused = true)]
async fn collections_are_deleted_by_selection() {
    let client = client().await;
    for (name, app) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let mut value = pod(name);
        value["metadata"]["labels"] = json!({"app": app});
        create(&*client, value).await;
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), "d");
    let mut list = ListOptions::default();
    list.select.labels = "app=x".parse().unwrap();
    api.delete_all(DeleteOptions::default(), list).await.unwrap();
    let left = api.list(&ListOptions::default()).await.unwrap();
    assert_eq!(left.items.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn modify_sends_only_the_difference() {
    let client = client().await;
    let resource = ResourceId::of::<Deployment>();
    let key = ObjectKey::namespaced(resource, "d", "web");
    let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "fieldOfTomorrow": {"x": 1}, "selector": {}, "template": {}}});
    write(&*client, Target::object(key.clone()), Intent::Create(doc(value))).await.unwrap();
    let api: Api<Deployment> = Api::namespaced(client.clone(), "d");
    let set = |n| move |d: &mut Deployment| d.spec.get_or_insert_default().replicas = Some(n);
    let changed = api.modify("web", set(3)).await.unwrap();
    let again = api.modify("web", set(3)).await.unwrap();
    assert_eq!(changed.metadata.resource_version, again.metadata.resource_version);
    let status = api.modify_status("web", |d| d.status.get_or_insert_default().replicas = Some(2)).await.unwrap();
    assert_eq!(status.status.as_ref().unwrap().replicas, Some(2));
    let now = client.get(&Target::object(key), &Default::default()).await.unwrap().stored().unwrap().to_doc().unwrap();
    assert_eq!(now.at(&["spec", "fieldOfTomorrow", "x"]), Some(&json!(1)), "what the type does not know stays");
    assert_eq!(now.at(&["spec", "replicas"]), Some(&json!(3)));
    assert!(api.modify("none", |_| ()).await.unwrap_err().is_not_found());
}

#[tokio::test(start_paused = true)]
async fn typed_faces_fill_in_type_and_namespace() {
    let client = client().await;
    let mut map = ConfigMap::default();
    map.metadata.name = Some("m".to_owned());
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "d");
    let made = api.create(&map).await.unwrap();
    assert_eq!(made.metadata.namespace.as_deref(), Some("d"));
    map.metadata.namespace = Some("other".to_owned());
    assert_eq!(api.create(&map).await.unwrap_err().code(), 400);
    let everywhere: Api<ConfigMap> = Api::all(client.clone());
    everywhere.create(&map).await.unwrap();
    assert_eq!(everywhere.list(&ListOptions::default()).await.unwrap().items.len(), 2);
    let stored = client.get(&Target::object(api.key("m")), &Default::default()).await.unwrap().stored().unwrap();
    assert!(stored.body.starts_with(br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"#));
    assert!(api.get_opt("none").await.unwrap().is_none());
    api.delete("m", DeleteOptions::default()).await.unwrap();
    assert!(api.get("m").await.unwrap_err().is_not_found());
}
