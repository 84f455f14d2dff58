//! A cluster of three members, of which one may die.

use super::shared::ping;
use super::written::Written;
use super::*;

async fn cluster() -> (Vec<EtcdServer>, EtcdConfig) {
    let servers = EtcdServer::cluster(3).await.unwrap();
    let endpoints = servers.iter().flat_map(EtcdServer::endpoints).collect();
    let config = EtcdConfig { endpoints, ..config(&servers[0]) };
    (servers, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_member_acknowledged_another_shows() {
    let (servers, _config) = cluster().await;
    let (one, two) = (open(backend(&servers[0]).await).await, open(backend(&servers[1]).await).await);
    tokio::join!(ping(&one, &two, "a"), ping(&two, &one, "b"));
}

/// Each member dies in turn, so the leader does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dies_is_replaced_by_the_others() {
    let (mut servers, config) = cluster().await;
    let backend = connect(config.clone()).await.unwrap();
    let (store, other) = (open(backend.clone()).await, open(connect(config).await.unwrap()).await);
    let (start, mut written) = (store.current(), Written::default());
    for (number, server) in servers.iter_mut().enumerate() {
        server.kill();
        let (mut tries, mut made) = (0, 0);
        while made < 20 {
            made += usize::from(written.create(&*backend, &format!("m{number}n{tries:03}")).await);
            tries += 1;
            assert!(tries < 500, "the others never take over");
        }
        until("a fresh read without the member", || async { store.get(&key("none"), Freshness::Latest).await.is_ok() })
            .await;
        server.restart().await.unwrap();
    }
    written.check(&[&store, &other], start).await;
}
