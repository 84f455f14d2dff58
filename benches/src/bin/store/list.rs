//! A list of very many pods through the real API server: TLS, HTTP/2, JSON.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt as _;
use orc_benches::http2::Http2;
use orc_benches::server::Server;
use orc_benches::{Measure, Report, Unit, pods};
use orc_store::Store;
use orc_store::backend::{Durability, Expect, MemoryBackend};

use crate::memory;

/// Measures a list.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many pods.
    #[arg(long, default_value_t = 150_000)]
    pods: usize,
    /// How many times to list.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut report = Report::on_this_machine();
    let server = Server::start(Arc::new(MemoryBackend::new())).await?;
    let empty = memory::resident();
    fill(&server.store, args.pods).await?;
    let full = memory::resident();
    let client = Http2::connect(server.address, &server.pki).await?;
    let name = |what: &str| format!("list of {} pods: {what}", args.pods);
    let mut first = Measure::new(name("first byte"), Unit::Seconds);
    let mut total = Measure::new(name("all of it"), Unit::Seconds);
    let mut above = Measure::new(name("peak memory above the store's own"), Unit::Bytes);
    let mut bytes = 0;
    for _ in 0..args.runs {
        memory::forget_peak()?;
        let before = memory::resident();
        let (byte, all, size) = one(&client).await?;
        first.runs.push(byte);
        total.runs.push(all);
        above.runs.push(memory::peak().saturating_sub(before) as f64);
        bytes = size;
    }
    report.measures = vec![
        Measure::new(format!("store of {} pods: memory", args.pods), Unit::Bytes).run((full - empty) as f64),
        first,
        total,
        above,
    ];
    report.fact("bytes of the answer", bytes);
    report.fact("bytes a pod in memory", (full - empty) / args.pods as u64);
    report.fact("bytes a pod as JSON", pods::body(1, 1, 0).len());
    report.print(args.json);
    Ok(())
}

/// Makes pods in the store itself.
pub(crate) async fn fill(store: &Arc<Store>, count: usize) -> anyhow::Result<()> {
    const AT_ONCE: usize = 512;
    let mut number = 0;
    while number < count {
        let batch = number..count.min(number + AT_ONCE);
        number = batch.end;
        let commits = batch.map(|number| {
            let body = pods::body(number, number % 5000, 0);
            let store = store.clone();
            async move { store.commit(&pods::key(number), Some(body), Expect::Absent, Some(Durability::Durable)).await }
        });
        try_join_all(commits).await?;
    }
    Ok(())
}

async fn one(client: &Http2) -> anyhow::Result<(f64, f64, u64)> {
    let began = Instant::now();
    let answer = client.send(Method::GET, "/api/v1/pods", "application/json", Bytes::new()).await?;
    ensure!(answer.status() == 200, "the list answered {}", answer.status());
    let mut body = answer.into_body();
    let (mut first, mut size) = (None, 0);
    while let Some(frame) = body.frame().await {
        first.get_or_insert_with(|| began.elapsed());
        size += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok((first.unwrap_or_default().as_secs_f64(), began.elapsed().as_secs_f64(), size))
}
