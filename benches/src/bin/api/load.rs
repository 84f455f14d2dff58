//! Creates and gets over many connections.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt as _;
use orc_benches::cluster::Cluster;
use orc_benches::http2::Http2;
use orc_benches::pods;

const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";

/// What one step gave.
pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) p99: f64,
}

/// Creates pods for a while.
pub(crate) async fn creates(cluster: &Cluster, connections: usize, time: Duration) -> anyhow::Result<Run> {
    let clients = connect(cluster, connections).await?;
    drive(clients, time, |client, connection, count| async move {
        create(&client, &format!("pod-{connection}-{count}")).await
    })
    .await
}

/// Reads single pods for a while.
pub(crate) async fn gets(cluster: &Cluster, connections: usize, time: Duration, pods: usize) -> anyhow::Result<Run> {
    let clients = connect(cluster, connections).await?;
    drive(clients, time, move |client, connection, count| async move {
        let path = format!("{PODS}/pod-{}", (connection * 7919 + count * 104_729) % pods);
        let answer = client.send(Method::GET, &path, JSON, Bytes::new()).await?;
        ensure!(answer.status() == 200, "{path} answered {}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    })
    .await
}

/// Makes so many pods.
pub(crate) async fn fill(cluster: &Cluster, pods: usize) -> anyhow::Result<()> {
    const AT_ONCE: usize = 64;
    let clients = connect(cluster, AT_ONCE).await?;
    let fill = clients.into_iter().enumerate().map(|(first, client)| async move {
        for number in (first..pods).step_by(AT_ONCE) {
            create(&client, &format!("pod-{number}")).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(fill).await?;
    Ok(())
}

async fn connect(cluster: &Cluster, connections: usize) -> anyhow::Result<Vec<Http2>> {
    let kubeconfig = cluster.kubeconfig()?;
    let clients = try_join_all((0..connections).map(|_| Http2::open(cluster.address, &kubeconfig))).await?;
    // A controller makes the account that pods need, a moment after the API is ready.
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    while clients[0].send(Method::GET, account, JSON, Bytes::new()).await?.status() != 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(clients)
}

/// Makes one pod, as a client of a controller would.
async fn create(client: &Http2, name: &str) -> anyhow::Result<()> {
    let answer = client.send(Method::POST, PODS, JSON, pods::new(name)?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// Lets each connection make calls for a while, one at a time.
async fn drive<F, Fut>(clients: Vec<Http2>, time: Duration, call: F) -> anyhow::Result<Run>
where
    F: Fn(Http2, usize, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let (call, started) = (Arc::new(call), Instant::now());
    let connection = |(number, client): (usize, Http2)| {
        let call = call.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            while started.elapsed() < time {
                let began = Instant::now();
                call(client.clone(), number, took.len()).await?;
                took.push(began.elapsed());
            }
            anyhow::Ok(took)
        })
    };
    let took = try_join_all(clients.into_iter().enumerate().map(connection)).await?;
    let mut took: Vec<Duration> = took.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
    let whole = started.elapsed().as_secs_f64();
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Run { rate: took.len() as f64 / whole, p99: p99.as_secs_f64() })
}
