//! The test kit, as a kube-rs operator uses it.

use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use orc_api::Identity;
use orc_api::testing::ApiServer;
use serde_json::json;

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": "v"}})).unwrap()
}

#[tokio::test]
async fn servers_are_isolated_and_many() {
    let servers = futures::future::try_join_all((0..20).map(|_| ApiServer::start())).await.unwrap();
    for (number, server) in servers.iter().enumerate() {
        let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
        maps.create(&PostParams::default(), &map(&format!("m{number}"))).await.unwrap();
    }
    for server in &servers {
        let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
        assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    }
    let started = Instant::now();
    for _ in 0..20 {
        ApiServer::start().await.unwrap();
    }
    // Reported, not asserted: machines differ.
    eprintln!("a server starts in {:.1} ms", started.elapsed().as_secs_f64() * 50.0);
}

#[tokio::test]
async fn a_watcher_follows_and_server_side_apply_owns() {
    let server = ApiServer::start().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let mut events = watcher(maps.clone(), watcher::Config::default()).boxed();
    while !matches!(events.try_next().await.unwrap(), Some(watcher::Event::InitDone)) {}
    let params = PatchParams::apply("kit");
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}});
    maps.patch("a", &params, &Patch::Apply(settings)).await.unwrap();
    let Some(watcher::Event::Apply(seen)) = events.try_next().await.unwrap() else { panic!("no event came") };
    assert_eq!(seen.data.unwrap()["x"], "1");
    let fields = seen.metadata.managed_fields.unwrap();
    assert_eq!(fields[0].manager.as_deref(), Some("kit"));
}

#[tokio::test]
async fn identities_are_held_to_their_roles_and_pods_to_their_rules() {
    let server = ApiServer::start().await.unwrap();
    let nobody: Api<Namespace> = Api::all(server.client_as(Identity::user("mallory", &[])));
    let refused = nobody.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    let pods: Api<Pod> = Api::namespaced(server.client(), "default");
    let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).unwrap();
    let refused = pods.create(&PostParams::default(), &pod).await.unwrap_err();
    assert!(refused.to_string().contains("spec.containers: Required value"), "{refused}");
}

#[tokio::test]
async fn it_can_be_reached_by_a_socket_too() {
    let server = ApiServer::start().await.unwrap();
    let listening = server.listen().await.unwrap();
    let stream = tokio::net::TcpStream::connect(listening.address).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), listening.address);
}
