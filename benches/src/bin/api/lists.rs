//! Lists of many pods, and the memory of the server before and after.

use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use orc_benches::cluster::Cluster;
use orc_benches::http2::Http2;
use orc_benches::{Measure, Unit};

/// Times lists in the forms that clients ask for.
pub(crate) async fn measure(cluster: &Cluster, pods: usize, runs: u32) -> anyhow::Result<Vec<Measure>> {
    let client = Http2::open(cluster.address, &cluster.kubeconfig()?).await?;
    let forms = [
        ("JSON", "application/json"),
        ("protobuf", "application/vnd.kubernetes.protobuf"),
        ("a table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ];
    let before = cluster.weight().pss as f64;
    let mut measures = vec![Measure::new(format!("memory with {pods} pods, PSS"), Unit::Bytes).run(before)];
    for (name, accept) in forms {
        let mut measure = Measure::new(format!("list of {pods} pods as {name}"), Unit::Seconds);
        for _ in 0..runs {
            measure.runs.push(list(&client, accept).await?);
        }
        measures.push(measure);
    }
    let after = cluster.weight().pss as f64;
    measures.push(Measure::new("memory after these lists, PSS", Unit::Bytes).run(after));
    Ok(measures)
}

async fn list(client: &Http2, accept: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let answer = client.send(Method::GET, "/api/v1/pods", accept, Bytes::new()).await?;
    ensure!(answer.status() == 200, "the list answered {}", answer.status());
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(began.elapsed().as_secs_f64())
}
