//! How the durable store grows: each size is loaded by a process of its own, which is then killed, and opened by another.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use orc_api::Registry;
use orc_benches::{Measure, Report, Unit, plot};
use orc_core::env::System;
use orc_store::Store;
use orc_store::backend::{DurableBackend, DurableConfig};
use serde_json::{Value, json};

use crate::{list, memory};

/// Measures growth.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder on the disk in question.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// How many pods, step by step.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    pods: Vec<usize>,
    /// Where to write the plots.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One process of the measurement.
#[derive(clap::Args)]
pub(crate) struct Child {
    /// The data folder.
    #[arg(long)]
    dir: PathBuf,
    /// How many pods to make; without it, the folder is opened.
    #[arg(long)]
    load: Option<usize>,
}

/// What one size took.
struct Size {
    pods: f64,
    load: f64,
    loaded: f64,
    open: f64,
    opened: f64,
    disk: f64,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let mut report = Report::on_this_machine();
    let mut sizes = Vec::new();
    for pods in &args.pods {
        let size = one(&args.dir, *pods).with_context(|| format!("{pods} pods"))?;
        anstream::eprintln!("{pods} pods: loaded in {:.1} s, opened in {:.2} s", size.load, size.open);
        let name = |what: &str| format!("{pods} pods: {what}");
        report.measures.extend([
            Measure::new(name("pods loaded"), Unit::PerSecond).run(size.pods / size.load),
            Measure::new(name("memory after loading"), Unit::Bytes).run(size.loaded),
            Measure::new(name("open after kill -9"), Unit::Seconds).run(size.open),
            Measure::new(name("memory after opening"), Unit::Bytes).run(size.opened),
            Measure::new(name("data folder"), Unit::Bytes).run(size.disk),
        ]);
        report.fact(&name("bytes of memory a pod"), (size.opened / size.pods).round());
        sizes.push(size);
    }
    if let Some(folder) = &args.plots {
        draw(folder, &sizes)?;
    }
    report.print(args.json);
    Ok(())
}

fn draw(folder: &Path, sizes: &[Size]) -> anyhow::Result<()> {
    let curve = |name: &str, of: fn(&Size) -> f64| (name.to_owned(), sizes.iter().map(|s| (s.pods, of(s))).collect());
    let memory = [
        curve("memory", |size| size.opened),
        curve("data folder", |size| size.disk),
        curve("JSON of the pods", |size| size.pods * orc_benches::pods::body(1, 1, 0).len() as f64),
    ];
    let frame = plot::Frame { title: "Bytes of the store", x: "pods", y: "bytes" };
    plot::log_log(&folder.join("store-bytes.svg"), &frame, &memory)?;
    let time = [curve("load", |size| size.load), curve("open after kill -9", |size| size.open)];
    let frame = plot::Frame { title: "Time of the store", x: "pods", y: "seconds" };
    plot::log_log(&folder.join("store-seconds.svg"), &frame, &time)
}

fn one(dir: &Path, pods: usize) -> anyhow::Result<Size> {
    let folder = tempfile::tempdir_in(dir)?;
    let loaded = process(folder.path(), Some(pods))?;
    let disk = bytes_below(folder.path())?;
    let opened = process(folder.path(), None)?;
    let number = |value: &Value, field: &str| value[field].as_f64().context("the child said no number");
    ensure!(number(&opened, "pods")? as usize == pods, "not all pods are there: {opened}");
    Ok(Size {
        pods: pods as f64,
        load: number(&loaded, "seconds")?,
        loaded: number(&loaded, "memory")?,
        open: number(&opened, "seconds")?,
        opened: number(&opened, "memory")?,
        disk,
    })
}

/// Runs a child until it has said what it measured, and kills it as a crash would.
fn process(folder: &Path, load: Option<usize>) -> anyhow::Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("growth-child").arg("--dir").arg(folder).stdout(Stdio::piped());
    if let Some(pods) = load {
        command.args(["--load", &pods.to_string()]);
    }
    let mut child = command.spawn()?;
    let mut line = String::new();
    let out = child.stdout.take().context("the child has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    child.kill()?;
    child.wait()?;
    serde_json::from_str(&line).with_context(|| format!("the child said {line:?}"))
}

fn bytes_below(folder: &Path) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() as f64 };
    }
    Ok(sum)
}

/// Loads or opens, says what it took, and waits to be killed.
pub(crate) async fn child(args: Child) -> anyhow::Result<()> {
    let before = memory::resident();
    let began = Instant::now();
    let config = DurableConfig::new(args.dir.join("store"));
    let backend = tokio::task::spawn_blocking(move || DurableBackend::open(config)).await??;
    let store = Store::open(Arc::new(backend), Registry::fields(), System::real()).await?;
    if let Some(pods) = args.load {
        list::fill(&store, pods).await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let memory = memory::resident().saturating_sub(before);
    let pods = store.count(&orc_core::ResourceId::new("", "pods"));
    anstream::println!("{}", json!({"seconds": seconds, "memory": memory, "pods": pods}));
    std::future::pending().await
}
