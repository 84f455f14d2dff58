//! What client libraries do all day: the runtime of kube-rs, and the Python client.

#[path = "tours/kinds.rs"]
mod kinds;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, PropagationPolicy,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::wait::{Condition, await_condition, conditions};
use kube::runtime::{WatchStreamExt as _, predicates, watcher};
use kube::{Client, Config, CustomResource, Resource as _, ResourceExt as _};
use serde_json::json;
use support::{As, Cluster, PATIENCE};

/// Asks for so many config maps.
#[derive(CustomResource, serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
#[kube(
    group = "tour.example",
    version = "v1",
    kind = "Family",
    namespaced,
    schema = "disabled",
    status = "FamilyStatus"
)]
struct FamilySpec {
    members: usize,
}

#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default, PartialEq)]
struct FamilyStatus {
    members: usize,
}

fn definition() -> CustomResourceDefinition {
    let count = json!({"type": "object", "properties": {"members": {"type": "integer", "minimum": 0}}});
    let schema = json!({"type": "object", "properties": {"spec": count, "status": count}});
    serde_json::from_value(json!({"metadata": {"name": "families.tour.example"}, "spec": {
        "group": "tour.example", "scope": "Namespaced",
        "names": {"plural": "families", "singular": "family", "kind": "Family"},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema}}]}}))
    .unwrap()
}

struct Context {
    client: Client,
    cleaned: AtomicUsize,
}

type Failure = finalizer::Error<kube::Error>;

async fn reconcile(family: Arc<Family>, context: Arc<Context>) -> Result<Action, Failure> {
    let api: Api<Family> = Api::namespaced(context.client.clone(), &family.namespace().unwrap_or_default());
    finalizer(&api, "tour.example/cleanup", family, |event| async {
        match event {
            Event::Apply(family) => make(&family, &context).await,
            Event::Cleanup(_) => {
                context.cleaned.fetch_add(1, Ordering::SeqCst);
                Ok(Action::await_change())
            }
        }
    })
    .await
}

/// Applies the members as their owner, and tells of them in the status.
async fn make(family: &Family, context: &Context) -> Result<Action, kube::Error> {
    let namespace = family.namespace().unwrap_or_default();
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let params = PatchParams::apply("family-controller").force();
    for number in 0..family.spec.members {
        let name = format!("{}-{number}", family.name_any());
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([("family".to_owned(), family.name_any())])),
            owner_references: family.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        };
        let member = ConfigMap {
            metadata,
            data: Some(BTreeMap::from([("n".into(), number.to_string())])),
            ..Default::default()
        };
        maps.patch(&name, &params, &Patch::Apply(&member)).await?;
    }
    let api: Api<Family> = Api::namespaced(context.client.clone(), &namespace);
    let status = json!({"apiVersion": "tour.example/v1", "kind": "Family", "status": {"members": family.spec.members}});
    api.patch_status(&family.name_any(), &params, &Patch::Apply(status)).await?;
    Ok(Action::await_change())
}

fn has(members: usize) -> impl Condition<Family> {
    move |family: Option<&Family>| family.and_then(|f| f.status.as_ref()).is_some_and(|s| s.members == members)
}

/// A controller with a finalizer and owned objects heals what it owns, and cleans up.
async fn operator(client: Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &definition()).await?;
    await_condition(definitions.clone(), "families.tour.example", conditions::is_crd_established()).await?;
    let families: Api<Family> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let context = Arc::new(Context { client: client.clone(), cleaned: AtomicUsize::new(0) });
    let controller = Controller::new(families.clone(), watcher::Config::default())
        .owns(maps.clone(), watcher::Config::default().labels("family"))
        .run(reconcile, |_, _: &Failure, _| Action::requeue(Duration::from_millis(200)), context.clone());
    let running = tokio::spawn(controller.for_each(|_| std::future::ready(())));

    families.create(&PostParams::default(), &Family::new("smith", FamilySpec { members: 2 })).await?;
    await_condition(families.clone(), "smith", has(2)).await?;
    let lost = maps.get("smith-1").await?.uid().unwrap_or_default();
    maps.delete("smith-1", &DeleteParams::default()).await?;
    await_condition(maps.clone(), "smith-1", move |map: Option<&ConfigMap>| {
        map.and_then(|map| map.uid()).is_some_and(|uid| uid != lost)
    })
    .await?;
    families.patch("smith", &PatchParams::default(), &Patch::Merge(json!({"spec": {"members": 3}}))).await?;
    await_condition(families.clone(), "smith", has(3)).await?;

    let uid = families.get("smith").await?.uid().unwrap_or_default();
    families.delete("smith", &DeleteParams::background()).await?;
    await_condition(families.clone(), "smith", conditions::is_deleted(&uid)).await?;
    assert_eq!(context.cleaned.load(Ordering::SeqCst), 1, "the finalizer ran once");
    while !maps.list(&ListParams::default().labels("family=smith")).await?.items.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.abort();
    Ok(())
}

/// A store that a watch keeps, read beside it.
async fn mirrored(client: Client) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for number in 0..5 {
        let map =
            serde_json::from_value(json!({"metadata": {"name": format!("m{number}"), "labels": {"mirror": "yes"}}}))?;
        maps.create(&PostParams::default(), &map).await?;
    }
    let (reader, writer) = reflector::store();
    // Pages of two; and the streaming list, which sends the first state as events of the watch.
    let config = watcher::Config::default().labels("mirror=yes").page_size(2);
    let changes = watcher(maps.clone(), config).default_backoff().reflect(writer).applied_objects();
    let mut changes = changes.predicate_filter(predicates::resource_version, Default::default()).boxed();
    for _ in 0..5 {
        changes.try_next().await?.expect("the watch goes on");
    }
    let data = json!({"data": {"a": "b"}});
    maps.patch("m3", &PatchParams::default(), &Patch::Merge(data)).await?;
    assert_eq!(changes.try_next().await?.map(|map| map.name_any()), Some("m3".to_owned()));
    // The store shows the first state when all pages have come.
    assert_eq!(reader.state().len(), 5);
    let kept = reader.get(&ObjectRef::new("m3").within("default")).expect("it is in the store");
    assert_eq!(kept.data.as_ref().and_then(|data| data.get("a")).map(String::as_str), Some("b"));

    let streaming = watcher::Config::default().labels("mirror=yes").streaming_lists();
    let mut events = watcher(maps.clone(), streaming).boxed();
    let mut seen = 0;
    loop {
        match events.try_next().await?.expect("the watch goes on") {
            watcher::Event::InitApply(_) => seen += 1,
            watcher::Event::InitDone => break,
            _ => {}
        }
    }
    assert_eq!(seen, 5, "a streaming list tells of all");
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("mirror=yes")).await?;
    Ok(())
}

/// Pods that nobody runs: their sub-resources.
async fn parts_of_a_pod(client: Client) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "c"}]}}))?;
    let made: Pod = pods.create(&PostParams::default(), &pod).await?;
    let status = json!({"status": {"message": "toured"}});
    let patched = pods.patch_status("p", &PatchParams::default(), &Patch::Strategic(status)).await?;
    assert_eq!(patched.status.and_then(|status| status.message).as_deref(), Some("toured"));
    let debug = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "d"}]}});
    let patched =
        pods.patch_subresource("ephemeralcontainers", "p", &PatchParams::default(), &Patch::Strategic(debug)).await?;
    assert_eq!(patched.spec.and_then(|spec| spec.ephemeral_containers).map(|all| all.len()), Some(1));
    pods.evict("p", &EvictParams::default()).await?;
    await_condition(pods.clone(), "p", conditions::is_deleted(&made.uid().unwrap_or_default())).await?;
    let wrong = pods
        .delete("p", &DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..Default::default() })
        .await;
    assert!(matches!(&wrong, Err(kube::Error::Api(status)) if status.is_not_found()), "{wrong:?}");
    Ok(())
}

fn python(cluster: &Cluster) {
    let python = std::env::var("ORC_TEST_PYTHON")
        .unwrap_or_else(|_| format!("{}/../target/test-venv/bin/python", env!("CARGO_MANIFEST_DIR")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_tour.py");
    let output = std::process::Command::new(&python)
        .args([script, &cluster.kubeconfig().to_string_lossy()])
        .output()
        .unwrap_or_else(|error| panic!("{python}: {error}; run `tools/test setup` first"));
    assert!(output.status.success(), "{}{}", support::text(&output.stdout), support::text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn client_libraries_do_what_they_do() {
    let cluster =
        tokio::task::spawn_blocking(|| Cluster::up(As::Me, &["--nodes", "0", "--sim-nodes", "1"])).await.unwrap();
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let parts = [
        ("operator", operator(client.clone()).boxed()),
        ("mirrored", mirrored(client.clone()).boxed()),
        ("parts of a pod", parts_of_a_pod(client.clone()).boxed()),
        ("kinds", kinds::kinds(client.clone()).boxed()),
    ];
    for (name, part) in parts {
        let done = tokio::time::timeout(PATIENCE, part).await.unwrap_or_else(|_| panic!("{name}: not in time"));
        done.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    tokio::task::spawn_blocking(move || python(&cluster)).await.unwrap();
}
