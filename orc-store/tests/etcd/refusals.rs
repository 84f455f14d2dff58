//! What is refused, and what the user reads.

use orc_store::backend::{KeyRange, Page, Pem};
use orc_store::testing::EtcdOptions;

use super::*;

async fn refused(config: EtcdConfig) -> String {
    let error = connect(config).await.err().expect("a connection that cannot work is refused");
    assert!(matches!(error, BackendError::Open(_)), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn tls_with_client_certificates() {
    let server = EtcdServer::start_with(EtcdOptions { tls: true, ..EtcdOptions::default() }).await.unwrap();
    let store = open(backend(&server).await).await;
    create(&store, "a").await;
    assert_eq!(names(&store).await, ["a"]);

    let other = EtcdServer::start_with(EtcdOptions { tls: true, ..EtcdOptions::default() }).await.unwrap();
    let error = refused(EtcdConfig { ca: other.config().ca, ..config(&server) }).await;
    assert!(error.contains("127.0.0.1") && error.contains("invalid peer certificate"), "{error}");
    let error = refused(EtcdConfig { cert: None, key: None, ..config(&server) }).await;
    assert!(error.contains("set `cert` and `key`"), "{error}");
    let error = refused(EtcdConfig { ca: Some(Pem::File("/nowhere/ca.pem".into())), ..config(&server) }).await;
    assert!(error.contains("the CA certificate /nowhere/ca.pem cannot be read"), "{error}");
}

#[tokio::test]
async fn an_etcd_that_is_not_there() {
    let mut server = server().await;
    server.kill();
    let error = refused(config(&server)).await;
    assert!(error.contains(&server.endpoints()[0]) && error.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn one_member_that_is_down_does_not_matter() {
    let (server, mut down) = (server().await, EtcdServer::start().await.unwrap());
    down.kill();
    let endpoints = [down.endpoints(), server.endpoints()].concat();
    let backend = connect(EtcdConfig { endpoints, ..config(&server) }).await.unwrap();
    for n in 0..20 {
        backend.commit(put(&format!("/x//{n}"), "v", Expect::Absent)).await.unwrap();
    }
    for _ in 0..5 {
        let mut feed = backend.feed(Revision(2)).await.unwrap();
        change(&mut feed).await.unwrap();
    }
}

#[tokio::test]
async fn a_prefix_that_is_not_ours() {
    let server = server().await;
    server.ctl(&["put", "/orc/objects/x", "y"]).unwrap();
    let error = refused(config(&server)).await;
    assert!(error.contains("choose another prefix"), "{error}");
    server.ctl(&["put", "/new/format", "2"]).unwrap();
    let error = refused(EtcdConfig { prefix: "/new".into(), ..config(&server) }).await;
    assert!(error.contains("use the newer program"), "{error}");
    connect(EtcdConfig { prefix: "/fresh".into(), ..config(&server) }).await.unwrap();
    assert_eq!(server.ctl(&["get", "/fresh/format", "--print-value-only"]).unwrap().trim(), "1");
}

#[tokio::test]
async fn users_and_their_rights() {
    let server = server().await;
    for line in [
        "user add root:secret",
        "user grant-role root root",
        "user add orc:pw",
        "role add orc",
        "role grant-permission orc --prefix=true readwrite /orc/",
        "user grant-role orc orc",
        "auth enable",
    ] {
        server.ctl(&line.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let user =
        |name: &str, password: &str| EtcdConfig { user: Some((name.into(), password.into())), ..config(&server) };
    let store = open(connect(user("orc", "pw")).await.unwrap()).await;
    create(&store, "a").await;
    assert_eq!(names(&store).await, ["a"]);
    let error = refused(user("orc", "wrong")).await;
    assert!(error.contains("authentication failed"), "{error}");
    let error = refused(EtcdConfig { prefix: "/other".into(), ..user("orc", "pw") }).await;
    assert!(error.contains("permission denied") && error.contains("readwrite"), "{error}");
    let error = refused(config(&server)).await;
    assert!(error.contains("user name is empty"), "{error}");
}

#[tokio::test]
async fn a_value_that_is_too_large() {
    let server = server().await;
    let store = open(backend(&server).await).await;
    let key = key("big");
    // Refused by etcd, and, larger, by its transport.
    for size in [1_600_000, 5_000_000] {
        let error = store.commit(&key, Some(body(&key, &"x".repeat(size))), Expect::Absent, None).await.unwrap_err();
        assert_eq!(error.code(), 413);
        assert!(error.message().contains("--max-request-bytes"), "{error}");
    }
    assert!(names(&store).await.is_empty());
    store.commit(&key, Some(body(&key, &"x".repeat(1_400_000))), Expect::Absent, None).await.unwrap();
    assert_eq!(names(&store).await, ["big"]);
}

#[tokio::test]
async fn a_full_database_refuses_writes_and_serves_reads() {
    let quota = EtcdOptions { quota_bytes: Some(2 << 20), ..EtcdOptions::default() };
    let server = EtcdServer::start_with(quota).await.unwrap();
    let backend = backend(&server).await;
    let store = open(backend.clone()).await;
    let mut made = 0;
    let error = loop {
        let key = key(&format!("m{made:03}"));
        match store.commit(&key, Some(body(&key, &"x".repeat(100_000))), Expect::Absent, None).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 100, "the quota is never reached");
    };
    assert_eq!(error.code(), 503);
    assert!(error.message().contains("alarm disarm"), "{error}");
    let raw = backend.commit(put("/x//a", "v", Expect::Absent)).await.unwrap_err();
    assert!(matches!(raw, BackendError::ReadOnly(_)), "{raw:?}");
    // The change that met the limit is made or not; etcd answers the same.
    let found = backend.scan(KeyRange::all(), None, Page { limit: usize::MAX }).await.unwrap();
    assert!((made..=made + 1).contains(&found.records.len()), "{} of {made}", found.records.len());
    assert_eq!(names(&store).await.len(), found.records.len());
}
