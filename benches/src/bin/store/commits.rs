//! Durable commits a second, and how long the slowest hundredth takes.
//!
//! Of each step, every system gets a fresh folder on the same disk, one after the other in the same run, and the disk's own
//! rate is taken beside them, since virtual disks change their mind. The systems are called as they are used: orc's backend
//! in this process, etcd by its client over loopback, and orc over HTTPS as etcd is over gRPC (with all that an API server
//! does to a write: TLS, authentication, RBAC, decoding, validation, managed fields; etcd does none of it).

use std::fs::{self, File};
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use http_body_util::BodyExt as _;
use orc_benches::http2::Http2;
use orc_benches::server::Server;
use orc_benches::{Measure, Report, Unit};
use orc_store::Backend;
use orc_store::backend::{Durability, DurableBackend, DurableConfig, Expect, RawChange};
use orc_store::testing::{EtcdOptions, EtcdServer};
use serde_json::json;

use crate::raw_etcd::RawEtcd;

/// Measures durable commits.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder on the disk in question. A file system in memory has nothing to sync.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// How many times to measure each step.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Seconds a step.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Bytes a value.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Concurrent writers of each step.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256, 1000])]
    writers: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What one step of one system gave.
struct Run {
    rate: f64,
    p99: f64,
}

/// One system at one number of writers.
struct Line {
    rate: Measure,
    p99: Measure,
}

impl Line {
    fn new(system: &str, writers: usize) -> Self {
        let name = format!("{system}, {writers} writers");
        Self { rate: Measure::new(&name, Unit::PerSecond), p99: Measure::new(format!("{name}, p99"), Unit::Seconds) }
    }

    fn add(&mut self, run: &Run) {
        self.rate.runs.push(run.rate);
        self.p99.runs.push(run.p99);
    }
}

const SYSTEMS: [&str; 4] = ["disk, append and sync", "orc backend", "etcd", "orc over HTTPS"];

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut report = Report::on_this_machine();
    let mut lines: Vec<[Line; 4]> = args.writers.iter().map(|n| SYSTEMS.map(|system| Line::new(system, *n))).collect();
    for run in 1..=args.runs {
        for (step, writers) in args.writers.iter().enumerate() {
            let folder = tempfile::tempdir_in(&args.dir)?;
            let done = [
                raw_syncs(folder.path(), &args)?,
                backend(&folder.path().join("backend"), *writers, &args).await?,
                etcd(&folder.path().join("etcd"), *writers, &args).await?,
                https(&folder.path().join("https"), *writers, &args).await?,
            ];
            let said: Vec<String> =
                SYSTEMS.iter().zip(&done).map(|(name, run)| format!("{name} {:.0}", run.rate)).collect();
            anstream::eprintln!("run {run}/{}, {writers} writers: {}", args.runs, said.join(", "));
            for (line, run) in lines[step].iter_mut().zip(&done) {
                line.add(run);
            }
        }
    }
    for (writers, of) in args.writers.iter().zip(&lines) {
        let median = |at: usize| of[at].rate.median().unwrap_or_default();
        report.fact(&format!("orc backend : etcd, {writers} writers"), format!("{:.1}", median(1) / median(2)));
        report.fact(&format!("orc over HTTPS : etcd, {writers} writers"), format!("{:.1}", median(3) / median(2)));
        report.fact(&format!("orc backend : disk, {writers} writers"), format!("{:.2}", median(1) / median(0)));
    }
    report.measures = lines.into_iter().flatten().flat_map(|line| [line.rate, line.p99]).collect();
    report.fact("folder", args.dir.canonicalize()?.display());
    report.fact("bytes a value", args.bytes);
    report.fact("seconds a step", args.seconds);
    report.print(args.json);
    Ok(())
}

/// One writer that appends a record and syncs, again and again: no store that syncs each commit by itself can be faster,
/// with any number of writers. The file is written once before, as a log that is preallocated is.
fn raw_syncs(folder: &Path, args: &Args) -> anyhow::Result<Run> {
    use std::os::unix::fs::FileExt as _;
    let path = folder.join("raw");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; 64 << 20])?;
    file.sync_all()?;
    let record = vec![b'x'; args.bytes];
    let (started, mut took) = (Instant::now(), Vec::new());
    while started.elapsed() < Duration::from_secs_f64(args.seconds) {
        let at = (took.len() * args.bytes % (63 << 20)) as u64;
        let began = Instant::now();
        file.write_all_at(&record, at)?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    let run = summary(vec![took], started.elapsed());
    fs::remove_file(path)?;
    Ok(run)
}

async fn backend(folder: &Path, writers: usize, args: &Args) -> anyhow::Result<Run> {
    let backend = Arc::new(DurableBackend::open(DurableConfig::new(folder))?);
    let value = Bytes::from(vec![b'x'; args.bytes]);
    drive(writers, args, move |name| {
        let (backend, value) = (backend.clone(), value.clone());
        async move {
            let change = RawChange {
                key: Bytes::from(format!("/bench{name}")),
                value: Some(value),
                expect: Expect::Absent,
                durability: Durability::Durable,
                ttl: None,
            };
            backend.commit(change).await?;
            Ok(())
        }
    })
    .await
}

async fn etcd(folder: &Path, writers: usize, args: &Args) -> anyhow::Result<Run> {
    fs::create_dir_all(folder)?;
    let options = EtcdOptions { folder: Some(folder.to_owned()), ..EtcdOptions::default() };
    let server = EtcdServer::start_with(options).await.map_err(anyhow::Error::msg)?;
    let client = RawEtcd::connect(&server).await?;
    let value: Arc<[u8]> = vec![b'x'; args.bytes].into();
    drive(writers, args, move |name| {
        let (client, value) = (client.clone(), value.clone());
        async move { client.create(format!("/registry/bench{name}"), &value).await }
    })
    .await
}

async fn https(folder: &Path, writers: usize, args: &Args) -> anyhow::Result<Run> {
    let server = Server::start(Arc::new(DurableBackend::open(DurableConfig::new(folder))?)).await?;
    let client = Http2::connect(server.address, &server.pki).await?;
    let text: Arc<str> = "x".repeat(args.bytes).into();
    drive(writers, args, move |name| {
        let (client, text) = (client.clone(), text.clone());
        async move {
            let name = name.trim_start_matches('/').replace('/', "-");
            let map =
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": *text}});
            let path = "/api/v1/namespaces/default/configmaps";
            let body = serde_json::to_vec(&map)?.into();
            let answer = client.send(Method::POST, path, "application/json", body).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            ensure!(status == 201, "{status}: {}", String::from_utf8_lossy(&body));
            Ok(())
        }
    })
    .await
}

/// Lets so many writers make keys of their own for a while.
async fn drive<F, Fut>(writers: usize, args: &Args, write: F) -> anyhow::Result<Run>
where
    F: Fn(String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let (started, time) = (Instant::now(), Duration::from_secs_f64(args.seconds));
    let writer = |number: usize| {
        let write = write.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            while started.elapsed() < time {
                let began = Instant::now();
                write(format!("/{number}/{}", took.len())).await?;
                took.push(began.elapsed());
            }
            anyhow::Ok(took)
        })
    };
    let took = try_join_all((0..writers).map(writer)).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(summary(took, started.elapsed()))
}

fn summary(took: Vec<Vec<Duration>>, whole: Duration) -> Run {
    let mut took: Vec<Duration> = took.into_iter().flatten().collect();
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    Run { rate: took.len() as f64 / whole.as_secs_f64(), p99: p99.as_secs_f64() }
}
