//! Files in a pod that follow what they are made of.

use k8s_openapi::api::core::v1::Secret;

use super::*;

/// How long the kubelet may take: a sync every minute, and some.
const SYNC: Duration = Duration::from_secs(90);

#[tokio::test(start_paused = true)]
async fn secrets_labels_and_projections_follow_their_sources() {
    let world = world().await;
    let dir = tempfile::tempdir().unwrap();
    let runtime = Arc::new(world.runtime.clone()) as Arc<dyn RuntimeService>;
    let agent = Agent::new(AgentConfig::new("n1", dir.path()), world.env.clone(), runtime);
    let _agent = tokio::spawn(agent.run(CancellationToken::new()));
    let secrets: Api<Secret> = Api::namespaced(world.env.client.clone(), "default");
    let secret = json!({"metadata": {"name": "key", "namespace": "default"}, "data": {"old": "b25l", "word": "b25l"}});
    secrets.create(&serde_json::from_value(secret).unwrap()).await.unwrap();
    let labels = json!([{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]);
    let volumes = json!([
        {"name": "key", "secret": {"secretName": "key"}},
        {"name": "me", "downwardAPI": {"items": labels}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "key"}}, {"downwardAPI": {"items": labels}}]}},
    ]);
    let metadata = json!({"name": "a", "namespace": "default", "labels": {"app": "web"}});
    let pod = json!({"metadata": metadata, "spec": spec(&json!({"volumes": volumes}))});
    world.pods.create(&serde_json::from_value(pod).unwrap()).await.unwrap();
    let pod = world.until("a", "running", |pod| phase(pod) == "Running").await;
    let own = dir.path().join("pods").join(pod.metadata.uid.as_deref().unwrap()).join("volumes");
    let read = |file: &str| std::fs::read_to_string(own.join(file)).unwrap();
    assert_eq!((read("key/word"), read("all/word")), ("one".to_owned(), "one".to_owned()));
    assert_eq!((read("me/labels"), read("all/labels")), ("app=\"web\"".to_owned(), "app=\"web\"".to_owned()));

    let change = |secret: &mut Secret| {
        let data = secret.data.get_or_insert_default();
        data.remove("old");
        data.insert("word".to_owned(), k8s_openapi::ByteString(b"two".to_vec()));
    };
    secrets.modify("key", change).await.unwrap();
    let label = |pod: &mut Pod| drop(pod.metadata.labels.get_or_insert_default().insert("app".into(), "api".into()));
    world.pods.modify("a", label).await.unwrap();
    tokio::time::sleep(SYNC).await;
    assert_eq!((read("key/word"), read("all/word")), ("two".to_owned(), "two".to_owned()));
    assert!(!own.join("key/old").exists() && !own.join("all/old").exists(), "a key that is gone takes its file along");
    assert_eq!((read("me/labels"), read("all/labels")), ("app=\"api\"".to_owned(), "app=\"api\"".to_owned()));
}
