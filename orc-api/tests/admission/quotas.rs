//! ResourceQuota.

use std::sync::Arc;

use futures::future::join_all;
use orc_core::env::System;
use orc_store::backend::MemoryBackend;
use orc_store::client::Intent;
use serde_json::json;

use crate::support::{key, server};

fn system() -> System {
    System::seeded(5, "2026-01-01T00:00:00Z".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn two_servers_do_not_exceed_one_quota() {
    let (system, backend) = (system(), Arc::new(MemoryBackend::new()));
    let servers = [server(backend.clone(), &system).await, server(backend.clone(), &system).await];
    let hard = json!({"count/configmaps": "7"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    servers[0].create("resourcequotas", quota).await.unwrap();
    servers[0]
        .status(key("resourcequotas", "q"), json!({"status": {"hard": hard, "used": {"count/configmaps": "0"}}}))
        .await;
    let names: Vec<String> = (0..20).map(|i| format!("c{i}")).collect();
    let writes = names.iter().enumerate().map(|(i, name)| servers[i % 2].config(name, json!({}), json!({})));
    let results = join_all(writes).await;
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(results.len() - refused.len(), 7);
    for error in refused {
        let text = "is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=7, limited: count/configmaps=7";
        assert!(error.message().ends_with(text), "{error}");
    }
    assert_eq!(servers[1].get("resourcequotas", "q").await["status"]["used"], json!({"count/configmaps": "7"}));
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_charged_for_what_is_stored_only() {
    let server = server(Arc::new(MemoryBackend::new()), &system()).await;
    let hard = json!({"services.nodeports": "1", "services": "9"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    server.create("resourcequotas", quota).await.unwrap();
    let service = |name: &str, kind: &str, ports: usize| {
        let ports: Vec<_> = (0..ports).map(|i| json!({"name": format!("p{i}"), "port": 80 + i})).collect();
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": kind, "ports": ports}})
    };
    let used = json!({"services.nodeports": "0", "services": "0"});
    server.status(key("resourcequotas", "q"), json!({"status": {"hard": hard, "used": used}})).await;
    let dry = orc_core::Doc::from_value(service("a", "NodePort", 1)).unwrap();
    server.write(key("services", "a"), Intent::Create(dry), true).await.unwrap();
    assert_eq!(server.get("resourcequotas", "q").await["status"]["used"], used, "a dry run charges nothing");
    server.create("services", service("a", "ClusterIP", 1)).await.unwrap();
    let again = server.create("services", service("a", "ClusterIP", 1)).await.unwrap_err();
    assert!(again.is_already_exists());
    let wide = server.create("services", service("b", "NodePort", 2)).await.unwrap_err();
    assert!(wide.message().contains("requested: services.nodeports=2, used: services.nodeports=0"), "{wide}");
    // An update is charged for what it adds, and given back what it frees.
    server.patch(key("services", "a"), json!({"spec": {"type": "NodePort"}})).await.unwrap();
    let now = server.get("resourcequotas", "q").await;
    assert_eq!(now["status"]["used"], json!({"services.nodeports": "1", "services": "1"}));
    server.patch(key("services", "a"), json!({"spec": {"type": "ClusterIP"}})).await.unwrap();
    let now = server.get("resourcequotas", "q").await;
    assert_eq!(now["status"]["used"], json!({"services.nodeports": "0", "services": "1"}));
}
