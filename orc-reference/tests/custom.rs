//! Custom kinds by the clients that people use: real kubectl, and typed objects of kube-rs.

mod support;

use futures::TryStreamExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, CustomResource};
use serde_json::json;
use support::{As, Cluster, PATIENCE};

const DEFINITION: &str = r#"{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
    "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}, "versions": [
    {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}, "scale": {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.ready"}},
     "additionalPrinterColumns": [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
     "schema": {"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "description": "What is wished.", "properties": {
            "size": {"type": "string"}, "replicas": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}}}}}}}]}}"#;

#[derive(CustomResource, serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
#[kube(group = "example.com", version = "v1", kind = "Widget", namespaced, schema = "disabled", status = "Ready")]
struct WidgetSpec {
    size: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<i64>,
}

#[derive(serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
struct Ready {
    ready: i64,
}

async fn typed(client: Client) -> Result<(), kube::Error> {
    let api: Api<Widget> = Api::default_namespaced(client);
    let wanted = Widget::new("typed", WidgetSpec { size: "big".into(), replicas: None });
    let made = api.create(&PostParams::default(), &wanted).await?;
    assert_eq!((made.spec.replicas, made.metadata.generation), (Some(1), Some(1)));
    let from = made.metadata.resource_version.unwrap_or_default();
    let events = api.watch(&WatchParams::default().fields("metadata.name=typed"), &from).await?;
    let mut events = std::pin::pin!(events);
    let status = json!({"status": {"ready": 1}});
    let ready = api.patch_status("typed", &PatchParams::default(), &Patch::Merge(status)).await?;
    assert_eq!((ready.status.map(|s| s.ready), ready.metadata.generation), (Some(1), Some(1)));
    let event = events.try_next().await?;
    assert!(matches!(event, Some(WatchEvent::Modified(now)) if now.status.as_ref().is_some_and(|s| s.ready == 1)));
    let config = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "typed"},
        "spec": {"size": "small"}});
    let applied = api.patch("typed", &PatchParams::apply("test").force(), &Patch::Apply(config)).await?;
    assert_eq!((applied.spec.size.as_str(), applied.metadata.generation), ("small", Some(2)));
    let scale = json!({"spec": {"replicas": 3}});
    let scaled = api.patch_scale("typed", &PatchParams::default(), &Patch::Merge(scale)).await?;
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_and_kube_rs_work_with_a_kind_of_their_own() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::up(As::Me, &[])).await.unwrap();
    cluster.ok_with(&["create", "-f", "-"], DEFINITION);
    cluster.ok(&["wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s"]);
    let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    tokio::time::timeout(PATIENCE, typed(Client::try_from(config).unwrap())).await.expect("kube-rs in time").unwrap();
    let widget =
        r#"{"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": "big"}}"#;
    assert!(cluster.ok_with(&["apply", "-f", "-"], widget).contains("created"));
    assert!(cluster.ok_with(&["apply", "-f", "-"], widget).contains("unchanged"));
    cluster.ok(&["scale", "wd/a", "--replicas=4"]);
    assert_eq!(cluster.ok(&["get", "wd", "a", "-o", "jsonpath={.spec.replicas}"]), "4");
    let table = cluster.ok(&["get", "wd"]);
    assert!(table.contains("SIZE") && table.contains("small"), "{table}");
    assert!(cluster.ok(&["get", "all"]).contains("widget.example.com/a"));
    assert!(cluster.ok(&["explain", "widgets.spec"]).contains("What is wished."));
    cluster.ok(&["patch", "wd", "a", "--type=merge", "-p", r#"{"spec": {"size": "tiny"}}"#]);
    cluster.ok(&["delete", "crd", "widgets.example.com", "--timeout=20s"]);
    cluster.refused(&["get", "wd"], "");
}
