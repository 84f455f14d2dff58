//! What a request costs without its connection: the API as a service, over a store in memory, on one thread.
//!
//! `cargo run --release -p orc-benches --bin pipeline`

use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use clap::Parser;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use orc_api::Identity;
use orc_api::testing::ApiServer;
use orc_benches::{Measure, Report, Unit, pods};

/// Measures single requests inside the process.
#[derive(Parser)]
struct Args {
    /// Requests a step.
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// How many times to measure each step.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut report = Report::on_this_machine();
    let mut create = Measure::new("create of a pod", Unit::Seconds);
    let mut get = Measure::new("get of a pod", Unit::Seconds);
    let mut bind = Measure::new("binding of a pod", Unit::Seconds);
    let mut status = Measure::new("status of a running pod", Unit::Seconds);
    let each = |started: Instant| started.elapsed().as_secs_f64() / args.requests as f64;
    for _ in 0..args.runs {
        let server = ApiServer::start().await?;
        let began = Instant::now();
        for number in 0..args.requests {
            send(&server, Method::POST, PODS.to_owned(), pods::new(&format!("pod-{number}"))?, 201).await?;
        }
        create.runs.push(each(began));
        let began = Instant::now();
        for number in 0..args.requests {
            send(&server, Method::GET, format!("{PODS}/pod-{number}"), Bytes::new(), 200).await?;
        }
        get.runs.push(each(began));
        let began = Instant::now();
        for number in 0..args.requests {
            let path = format!("{PODS}/pod-{number}/binding");
            send(&server, Method::POST, path, pods::binding(&format!("pod-{number}"), "node-1")?, 201).await?;
        }
        bind.runs.push(each(began));
        let began = Instant::now();
        for number in 0..args.requests {
            let path = format!("{PODS}/pod-{number}/status");
            send(&server, Method::PATCH, path, pods::running()?, 200).await?;
        }
        status.runs.push(each(began));
    }
    report.measures.extend([create, get, bind, status]);
    report.fact("requests a step", args.requests);
    report.print(args.json);
    Ok(())
}

async fn send(server: &ApiServer, method: Method, path: String, body: Bytes, expected: u16) -> anyhow::Result<()> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(method).uri(&path).header("content-type", kind);
    let mut request = request.body(Full::new(body).map_err(|never| match never {}).boxed_unsync())?;
    request.extensions_mut().insert(Identity::admin());
    let answer = server.service().answer(request).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| anyhow::anyhow!("{path}: {error}"))?.to_bytes();
    ensure!(status == expected, "{path}: {status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}
