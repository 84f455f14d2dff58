//! Testing a kube-rs operator against an API server inside the test: no cluster, no binary to download, no port.
//!
//! The operator is ordinary kube-rs code. `cargo test -p orc-examples --bin operator_test` runs its tests;
//! `cargo run -p orc-examples --bin operator_test` runs it once and says what it did.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::wait::await_condition;
use kube::runtime::watcher;
use kube::{Client, CustomResource, Resource as _, ResourceExt as _};
use orc_api::OwnKind;
use orc_api::testing::ApiServer;
use orc_core::validation::{FieldError, FieldErrors, FieldPath};
use serde_json::json;

/// A banner asks for a config map that holds its text.
#[derive(CustomResource, schemars::JsonSchema, serde::Serialize, serde::Deserialize, Clone, Debug)]
#[kube(group = "example.com", version = "v1", kind = "Banner", namespaced, status = "BannerStatus")]
struct BannerSpec {
    text: String,
}

#[derive(schemars::JsonSchema, serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq)]
struct BannerStatus {
    shown: String,
}

/// The operator: applies what it owns, then tells.
async fn reconcile(banner: Arc<Banner>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let (name, namespace) = (banner.name_any(), banner.namespace().unwrap_or_default());
    let params = PatchParams::apply("banner-operator").force();
    let maps: Api<ConfigMap> = Api::namespaced(Client::clone(&client), &namespace);
    let owner: Vec<_> = banner.controller_owner_ref(&()).into_iter().collect();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": owner},
        "data": {"text": banner.spec.text}});
    maps.patch(&name, &params, &Patch::Apply(map)).await?;
    let banners: Api<Banner> = Api::namespaced(Client::clone(&client), &namespace);
    let status = json!({"apiVersion": "example.com/v1", "kind": "Banner", "status": {"shown": banner.spec.text}});
    banners.patch_status(&name, &params, &Patch::Apply(status)).await?;
    Ok(Action::await_change())
}

/// Runs the operator until the future is dropped.
async fn operator(client: Client) {
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let again = |_, _: &kube::Error, _| Action::requeue(Duration::from_secs(1));
    Controller::new(Api::<Banner>::all(client.clone()), watcher::Config::default())
        .owns(maps, watcher::Config::default())
        .run(reconcile, again, Arc::new(client))
        .for_each(|_| std::future::ready(()))
        .await;
}

/// A rule that no schema says.
fn polite(new: &Banner, _old: Option<&Banner>, errors: &mut FieldErrors) {
    if new.spec.text.chars().all(char::is_uppercase) {
        let text = FieldPath::new("spec");
        errors.push(FieldError::invalid(&text.child("text"), new.spec.text.as_str(), "must not shout"));
    }
}

/// A server that knows the kind, and the operator running against it.
async fn started() -> anyhow::Result<(ApiServer, tokio::task::JoinHandle<()>)> {
    let server = ApiServer::start().await?;
    server.registry().serve_kind(OwnKind::new::<Banner>().validate(polite)).await?;
    let running = tokio::spawn(operator(server.client()));
    Ok((server, running))
}

/// Makes a banner and waits until the operator has shown a text.
async fn shown(client: Client, text: &str) -> anyhow::Result<String> {
    let banners: Api<Banner> = Api::namespaced(client.clone(), "default");
    let wanted = Banner::new("welcome", BannerSpec { text: text.to_owned() });
    banners.create(&PostParams::default(), &wanted).await?;
    await_condition(banners, "welcome", |banner: Option<&Banner>| banner.is_some_and(|b| b.status.is_some())).await?;
    let map = Api::<ConfigMap>::namespaced(client, "default").get("welcome").await?;
    Ok(map.data.unwrap_or_default().remove("text").unwrap_or_default())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (server, running) = started().await?;
    println!("{}", shown(server.client(), "Hello, operator").await?);
    running.abort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use kube::api::DeleteParams;

    use super::*;

    #[tokio::test]
    async fn it_shows_the_text_and_heals() {
        let (server, running) = started().await.unwrap();
        assert_eq!(shown(server.client(), "hello").await.unwrap(), "hello");
        let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
        let lost = maps.get("welcome").await.unwrap().uid();
        maps.delete("welcome", &DeleteParams::default()).await.unwrap();
        let is_new = |map: Option<&ConfigMap>| map.is_some_and(|map| map.uid() != lost);
        await_condition(maps, "welcome", is_new).await.unwrap();
        running.abort();
    }

    #[tokio::test]
    async fn the_server_knows_the_rules() {
        let (server, running) = started().await.unwrap();
        let error = shown(server.client(), "HELLO").await.unwrap_err().to_string();
        assert!(error.contains("spec.text: Invalid value: \"HELLO\": must not shout"), "{error}");
        running.abort();
    }
}
