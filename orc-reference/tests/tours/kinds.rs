//! A kind whose schema and rules kube-rs derives, found by discovery, scaled, watched by its metadata, told of by events.

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Client, CustomResource, CustomResourceExt as _, Discovery, KubeSchema, Resource as _, ResourceExt as _};
use serde_json::json;

/// A fleet of ships.
#[derive(CustomResource, KubeSchema, serde::Serialize, serde::Deserialize, Clone, Debug)]
#[kube(
    group = "tour.example",
    version = "v1",
    kind = "Fleet",
    namespaced,
    status = "FleetStatus",
    shortname = "fl",
    category = "tours",
    scale(spec_replicas_path = ".spec.ships", status_replicas_path = ".status.ships"),
    printcolumn(json_path = ".spec.ships", name = "Ships", type_ = "integer")
)]
#[x_kube(validation = "self.ships <= self.berths")]
struct FleetSpec {
    /// How many there are.
    ships: i32,
    #[serde(default = "berths")]
    berths: i32,
    #[x_kube(validation = "self == oldSelf")]
    home: String,
}

fn berths() -> i32 {
    8
}

#[derive(schemars::JsonSchema, serde::Serialize, serde::Deserialize, Clone, Debug, Default)]
struct FleetStatus {
    ships: i32,
}

fn fleet(ships: i32) -> Fleet {
    Fleet::new("north", FleetSpec { ships, berths: 8, home: "kiel".to_owned() })
}

/// The text of a refusal.
fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> anyhow::Result<String> {
    match result {
        Err(kube::Error::Api(status)) => Ok(status.message.clone()),
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

pub(super) async fn kinds(client: Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let own = PatchParams::apply("tour");
    definitions.patch("fleets.tour.example", &own, &Patch::Apply(Fleet::crd())).await?;
    await_condition(definitions.clone(), "fleets.tour.example", conditions::is_crd_established()).await?;
    rules(client.clone()).await?;
    scaled(client.clone()).await?;
    discovered(client.clone()).await?;
    told(client.clone()).await?;
    definitions.delete("fleets.tour.example", &DeleteParams::default()).await?;
    Ok(())
}

/// What the derived schema and its rules refuse.
async fn rules(client: Client) -> anyhow::Result<()> {
    let fleets: Api<Fleet> = Api::default_namespaced(client);
    let said = refusal(fleets.create(&PostParams::default(), &fleet(9)).await)?;
    anyhow::ensure!(said.contains("failed rule: self.ships <= self.berths"), "{said}");
    let made = fleets.create(&PostParams::default(), &fleet(2)).await?;
    let moved = json!({"spec": {"home": "oslo"}});
    let said = refusal(fleets.patch("north", &PatchParams::default(), &Patch::Merge(moved)).await)?;
    anyhow::ensure!(said.contains("spec.home") && said.contains("failed rule: self == oldSelf"), "{said}");
    let defaulted: Fleet = serde_json::from_value(json!({"apiVersion": "tour.example/v1", "kind": "Fleet",
        "metadata": {"name": "south", "namespace": made.namespace()}, "spec": {"ships": 1, "home": "rome"}}))?;
    let south = fleets.create(&PostParams { dry_run: true, ..PostParams::default() }, &defaulted).await?;
    anyhow::ensure!(south.spec.berths == 8 && fleets.get_opt("south").await?.is_none(), "dry run makes nothing");
    Ok(())
}

async fn scaled(client: Client) -> anyhow::Result<()> {
    let fleets: Api<Fleet> = Api::default_namespaced(client);
    let more = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scale = fleets.patch_scale("north", &PatchParams::default(), &more).await?;
    anyhow::ensure!(scale.spec.and_then(|spec| spec.replicas) == Some(5), "it is scaled");
    anyhow::ensure!(fleets.get("north").await?.spec.ships == 5, "so is the object");
    let said = refusal(
        fleets.patch_scale("north", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 9}}))).await,
    )?;
    anyhow::ensure!(said.contains("failed rule: self.ships <= self.berths"), "rules hold for scales: {said}");
    Ok(())
}

/// Discovery in both forms leads to the kind; its objects are listed and watched as metadata alone.
async fn discovered(client: Client) -> anyhow::Result<()> {
    let kind = GroupVersionKind::gvk("tour.example", "v1", "Fleet");
    for all in [Discovery::new(client.clone()).run().await?, Discovery::new(client.clone()).run_aggregated().await?] {
        let (resource, capabilities) = all.resolve_gvk(&kind).context("it is discovered")?;
        anyhow::ensure!(resource.plural == "fleets" && capabilities.subresources.len() == 2, "{capabilities:?}");
        let dynamic: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
        anyhow::ensure!(dynamic.get("north").await?.data["spec"]["ships"] == 5, "read without its type");
        let groups = all.groups_alphabetical();
        anyhow::ensure!(groups.iter().any(|group| group.name() == "apps"), "with the rest");
    }
    let fleets: Api<Fleet> = Api::default_namespaced(client);
    let heads = fleets.list_metadata(&ListParams::default()).await?;
    anyhow::ensure!(heads.items.len() == 1 && heads.items[0].name_any() == "north", "{heads:?}");
    let config = watcher::Config::default().streaming_lists();
    let heads: Api<PartialObjectMeta<Fleet>> = Api::default_namespaced(fleets.clone().into_client());
    let mut events = watcher(heads, config).boxed();
    let label = json!({"metadata": {"labels": {"seen": "yes"}}});
    loop {
        match events.try_next().await?.context("the watch goes on")? {
            watcher::Event::InitDone => {
                fleets.patch_metadata("north", &PatchParams::default(), &Patch::Merge(&label)).await?;
            }
            watcher::Event::Apply(head) if head.labels().contains_key("seen") => return Ok(()),
            _ => {}
        }
    }
}

/// Events of the recorder: one, then the same as a series.
async fn told(client: Client) -> anyhow::Result<()> {
    let fleets: Api<Fleet> = Api::default_namespaced(client.clone());
    let about: ObjectReference = fleets.get("north").await?.object_ref(&());
    let recorder =
        Recorder::new(client.clone(), Reporter { controller: "tour.example/admiral".into(), instance: None });
    let event = Event {
        type_: EventType::Warning,
        reason: "Storm".to_owned(),
        note: Some("wind from the west".to_owned()),
        action: "Waiting".to_owned(),
        secondary: None,
    };
    for _ in 0..3 {
        recorder.publish(&event, &about).await?;
    }
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::default_namespaced(client.clone());
    let found = events.list(&ListParams::default().fields("reason=Storm")).await?.items;
    let series = found.first().and_then(|event| event.series.as_ref()).map(|series| series.count);
    anyhow::ensure!(found.len() == 1 && series == Some(3), "{found:?}");
    // The older API shows the same one.
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client);
    let found = core.list(&ListParams::default().fields("involvedObject.kind=Fleet,type=Warning")).await?.items;
    anyhow::ensure!(found.len() == 1 && found[0].message.as_deref() == Some("wind from the west"), "{found:?}");
    Ok(())
}
