//! Durable commits a second, beside what the disk itself can sync.
//!
//! `cargo run --release -p orc-benches --bin store -- --dir .`
//!
//! The raw rate is one writer that appends a record and syncs, again and again: no store that syncs each commit by itself
//! can be faster with any number of writers. Commits share syncs, so many writers together should pass it. Each step has a
//! fresh folder, and the raw rate is taken before each, since disks change their mind. A comparison with etcd is not here yet.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use orc_benches::{Measure, Report, Unit};
use orc_core::env::System;
use orc_store::backend::{Backend, Durability, DurableBackend, DurableConfig, Expect, RawChange};
use orc_store::{Api, LocalClient, Store};

/// Concurrent writers of each step.
const WRITERS: [usize; 3] = [1, 16, 256];

/// Measures durable commits.
#[derive(Parser)]
struct Args {
    /// A folder on the disk in question. A file system in memory has nothing to sync.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// How many times to measure each step.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Seconds a step.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Bytes a record; a small pod is 2,000.
    #[arg(long, default_value_t = 2000)]
    bytes: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let time = Duration::from_secs_f64(args.seconds);
    let mut report = Report::on_this_machine();
    let mut raw = Measure::new("append and sync, one writer", Unit::PerSecond);
    let line = |what: &str, writers| Measure::new(format!("{what}, {writers} writers"), Unit::PerSecond);
    let mut backend = WRITERS.map(|writers| line("backend commit", writers));
    let mut client = WRITERS.map(|writers| line("Api::create", writers));
    for run in 1..=args.runs {
        for (step, writers) in WRITERS.into_iter().enumerate() {
            let folder = tempfile::tempdir_in(&args.dir)?;
            raw.runs.push(raw_syncs(folder.path(), time, args.bytes)?);
            backend[step].runs.push(commits(&folder.path().join("backend"), writers, time, args.bytes).await?);
            client[step].runs.push(creates(&folder.path().join("client"), writers, time, args.bytes).await?);
            let last = |measure: &Measure| Unit::PerSecond.show(measure.runs.last().copied().unwrap_or(0.0));
            anstream::eprintln!(
                "run {run}/{}, {writers} writers: disk {}, backend {}, client {}",
                args.runs,
                last(&raw),
                last(&backend[step]),
                last(&client[step]),
            );
        }
    }
    report.measures = [vec![raw], backend.to_vec(), client.to_vec()].concat();
    report.fact("folder", args.dir.canonicalize()?.display());
    report.fact("bytes a record", args.bytes);
    report.fact("seconds a step", args.seconds);
    report.print(args.json);
    Ok(())
}

/// Syncs a second of one writer that appends records.
fn raw_syncs(folder: &Path, time: Duration, bytes: usize) -> anyhow::Result<f64> {
    let mut file = File::create(folder.join("raw"))?;
    let record = vec![b'x'; bytes];
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < time {
        file.write_all(&record)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    fs::remove_file(folder.join("raw"))?;
    Ok(rate)
}

/// Commits a second of so many writers, each to keys of its own.
async fn commits(folder: &Path, writers: usize, time: Duration, bytes: usize) -> anyhow::Result<f64> {
    let backend = Arc::new(DurableBackend::open(DurableConfig::new(folder))?);
    let value = Bytes::from(vec![b'x'; bytes]);
    let started = Instant::now();
    let writer = |number: usize| {
        let (backend, value) = (backend.clone(), value.clone());
        tokio::spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < time {
                let key = Bytes::from(format!("/bench/{number}/{count}"));
                let change = RawChange {
                    key,
                    value: Some(value.clone()),
                    expect: Expect::Absent,
                    durability: Durability::Durable,
                };
                backend.commit(change).await?;
                count += 1;
            }
            anyhow::Ok(count)
        })
    };
    rate(try_join_all((0..writers).map(writer)).await?, started)
}

/// Objects created a second through the client that an embedder uses.
async fn creates(folder: &Path, writers: usize, time: Duration, bytes: usize) -> anyhow::Result<f64> {
    let system = System::real();
    let backend = Arc::new(DurableBackend::open(DurableConfig::new(folder))?);
    let store = Store::open(backend, Arc::new(|_| Arc::from([])), system.clone()).await?;
    let client = Arc::new(LocalClient::new(store, &system));
    let text = "x".repeat(bytes);
    let started = Instant::now();
    let writer = |number: usize| {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), format!("writer-{number}"));
        let text = text.clone();
        tokio::spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < time {
                let mut map = ConfigMap::default();
                map.metadata.name = Some(format!("map-{count}"));
                map.data = Some([("text".to_owned(), text.clone())].into());
                api.create(&map).await?;
                count += 1;
            }
            anyhow::Ok(count)
        })
    };
    rate(try_join_all((0..writers).map(writer)).await?, started)
}

fn rate(counts: Vec<anyhow::Result<u32>>, started: Instant) -> anyhow::Result<f64> {
    let took = started.elapsed().as_secs_f64();
    let mut sum = 0.0;
    for count in counts {
        sum += f64::from(count?);
    }
    Ok(sum / took)
}
