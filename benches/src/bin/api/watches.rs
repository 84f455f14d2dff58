//! Many watches of one resource: how long until everybody has seen a change, and what a watch weighs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use orc_benches::cluster::Cluster;
use orc_benches::http2::Http2;
use orc_benches::{Measure, Unit};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
/// Watches on one connection: what HTTP/2 servers commonly allow.
const STREAMS: usize = 100;
/// Changes of a run.
const CHANGES: usize = 10;

#[derive(Default)]
struct Seen {
    began: Mutex<Option<Instant>>,
    delays: Mutex<Vec<Duration>>,
}

/// Opens so many watches and makes changes, each after everybody has seen the one before.
pub(crate) async fn measure(cluster: &Cluster, count: usize, runs: u32) -> anyhow::Result<Vec<Measure>> {
    let kubeconfig = cluster.kubeconfig()?;
    let connections = count.div_ceil(STREAMS);
    let clients = try_join_all((0..connections).map(|_| Http2::open(cluster.address, &kubeconfig))).await?;
    let before = cluster.weight().pss;
    let (seen, arrivals) = (Arc::new(Seen::default()), Arc::new(Semaphore::new(0)));
    let mut tasks = Vec::with_capacity(count);
    for number in 0..count {
        let path = format!("{MAPS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
        let answer = clients[number % connections].send(Method::GET, &path, JSON, Bytes::new()).await?;
        ensure!(answer.status() == 200, "a watch answered {}", answer.status());
        tasks.push(tokio::spawn(follow(answer.into_body(), seen.clone(), arrivals.clone())));
    }
    let weight = cluster.weight().pss.saturating_sub(before) as f64 / count as f64;
    for change in 0..CHANGES * runs as usize {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("map-{change}")},
            "data": {"text": "x".repeat(1000)}});
        *seen.began.lock() = Some(Instant::now());
        let answer = clients[0].send(Method::POST, MAPS, JSON, serde_json::to_vec(&map)?.into()).await?;
        ensure!(answer.status() == 201, "a create answered {}", answer.status());
        arrivals.acquire_many(u32::try_from(count)?).await?.forget();
    }
    for task in tasks {
        task.abort();
    }
    let mut delays = std::mem::take(&mut *seen.delays.lock());
    delays.sort_unstable();
    let at = |part: usize| delays.get(delays.len() * part / 100).copied().unwrap_or_default().as_secs_f64();
    let name = |what: &str| format!("{count} watches: {what}");
    Ok(vec![
        Measure::new(name("delay from request to delivery, p50"), Unit::Seconds).run(at(50)),
        Measure::new(name("delay from request to delivery, p99"), Unit::Seconds).run(at(99)),
        Measure::new(name("memory of the server a watch"), Unit::Bytes).run(weight).aim(20.0 * 1024.0),
    ])
}

async fn follow(mut body: Incoming, seen: Arc<Seen>, arrivals: Arc<Semaphore>) {
    while let Some(Ok(frame)) = body.frame().await {
        // An event is one frame or several; it ends with a line's end.
        if frame.data_ref().is_some_and(|data| data.ends_with(b"\n")) {
            if let Some(began) = *seen.began.lock() {
                seen.delays.lock().push(began.elapsed());
            }
            arrivals.add_permits(1);
        }
    }
}
