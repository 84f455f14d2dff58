//! From nothing to the first pod that is Ready, and what the idle cluster weighs.
//!
//! `cargo run --release -p orc-benches --bin first_light -- --orc target/release/orc`
//!
//! Each run starts a copy of the binary on an empty data folder, posts a pod as soon as the API takes it, and follows it
//! by a watch. Then the pod is deleted, and after a pause the memory of all processes of the cluster is read. As root the
//! clusters of a machine share its network: run it where no other one runs, or give `-- --service-cidr 10.112.0.0/12`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Parser;
use http::Method;
use http_body_util::BodyExt as _;
use orc_api::remote::{Connection, Kubeconfig, RemoteError};
use orc_benches::{Measure, Report, Unit, process};
use serde_json::{Value, json};

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts: far below what is measured.
const PAUSE: Duration = Duration::from_millis(2);
const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &str = "application/json";

/// Measures the start of a cluster.
#[derive(Parser)]
struct Args {
    /// The binary.
    #[arg(long, default_value = "target/release/orc")]
    orc: PathBuf,
    /// How many times to start a cluster.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// How many seconds a cluster idles before its memory is read; 0 leaves that out.
    #[arg(long, default_value_t = 30)]
    idle: u64,
    /// Put the pod on this node, which leaves the scheduler out.
    #[arg(long)]
    node: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Further flags of `orc up`.
    #[arg(last = true)]
    flags: Vec<String>,
}

/// What one start took.
struct Run {
    ready_line: Duration,
    pod_accepted: Duration,
    pod_ready: Duration,
    idle: Option<process::Weight>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let size = fs::metadata(&args.orc).with_context(|| format!("{}: build it first", args.orc.display()))?.len();
    let mut report = Report::on_this_machine();
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let run = one(&args).await.with_context(|| format!("run {number}"))?;
        let seconds = |time: Duration| Unit::Seconds.show(time.as_secs_f64());
        anstream::eprintln!(
            "run {number}/{}: ready {}, pod {}",
            args.runs,
            seconds(run.ready_line),
            seconds(run.pod_ready)
        );
        runs.push(run);
    }
    report.measures = measures(&runs, size);
    report.fact("binary", args.orc.display());
    report.fact("flags", args.flags.join(" "));
    report.fact("as root", rustix::process::geteuid().is_root());
    report.fact("scheduled by", args.node.as_ref().map_or("the scheduler", |_| "--node"));
    if let Some(weight) = runs.last().and_then(|run| run.idle) {
        report.fact("processes of the idle cluster", weight.processes);
    }
    report.print(args.json);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes of programs are far below 2^52")]
fn measures(runs: &[Run], size: u64) -> Vec<Measure> {
    let seconds = |name: &str, of: fn(&Run) -> Duration| Measure {
        runs: runs.iter().map(|run| of(run).as_secs_f64()).collect(),
        ..Measure::new(name, Unit::Seconds)
    };
    let weight = |name: &str, of: fn(process::Weight) -> u64| Measure {
        runs: runs.iter().filter_map(|run| run.idle).map(|weight| of(weight) as f64).collect(),
        ..Measure::new(name, Unit::Bytes)
    };
    vec![
        seconds("orc up to the ready line", |run| run.ready_line),
        seconds("orc up to the pod accepted", |run| run.pod_accepted),
        seconds("orc up to the first pod Ready", |run| run.pod_ready).aim(1.0),
        weight("idle memory (RSS)", |weight| weight.rss),
        weight("idle memory (PSS)", |weight| weight.pss).aim(f64::from(60 << 20)),
        Measure::new("binary", Unit::Bytes).run(size as f64).aim(40e6),
    ]
}

/// A running cluster. Dropping it ends all its processes.
struct Cluster {
    binary: PathBuf,
    process: Child,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        process::end_all(&self.binary);
        let _ = self.process.wait();
    }
}

async fn one(args: &Args) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let binary = folder.path().canonicalize()?.join("orc");
    fs::copy(&args.orc, &binary)?;
    let data = folder.path().join("data");
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let log = fs::File::create(folder.path().join("log"))?;

    let started = Instant::now();
    let process = Command::new(&binary)
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(&data)
        .args(&args.flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let mut cluster = Cluster { binary, process };
    let output = cluster.process.stdout.take().context("no standard output")?;
    let ready = tokio::task::spawn_blocking(move || ready_line(output, started));
    let measured = follow(args, &data, started).await;
    if measured.is_err() {
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        anstream::eprintln!("{log}");
    }
    let (connection, pod_accepted, pod_ready) = measured?;
    let ready_line = tokio::time::timeout(PATIENCE, ready).await???;
    connection
        .send(Method::DELETE, &format!("{PODS}/first"), JSON, Some((JSON, r#"{"gracePeriodSeconds":0}"#.into())))
        .await?;
    let idle = if args.idle == 0 {
        None
    } else {
        tokio::time::sleep(Duration::from_secs(args.idle)).await;
        Some(process::weigh(&process::running(&cluster.binary)))
    };
    stop(&mut cluster).await?;
    Ok(Run { ready_line, pod_accepted, pod_ready, idle })
}

/// When the line came that scripts wait for.
fn ready_line(output: ChildStdout, started: Instant) -> anyhow::Result<Duration> {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.starts_with("ready: ") {
            let after = started.elapsed();
            // The pipe must stay open and empty, or the cluster's next line would end it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(after);
        }
    }
    bail!("orc up ended before it was ready")
}

/// Makes the pod and waits until it is Ready: a way to the API, and when the pod was accepted and Ready.
async fn follow(args: &Args, data: &Path, started: Instant) -> anyhow::Result<(Connection, Duration, Duration)> {
    let patience = async {
        let connection = connect(&data.join("kubeconfig")).await?;
        let pod: Bytes = pod(args.node.as_deref()).to_string().into();
        while let Err(error) = connection.send(Method::POST, PODS, JSON, Some((JSON, pod.clone()))).await {
            if !passing(&error) {
                return Err(error).context("the pod was refused");
            }
            tokio::time::sleep(PAUSE).await;
        }
        let accepted = started.elapsed();
        until_ready(&connection).await?;
        Ok((connection, accepted, started.elapsed()))
    };
    tokio::time::timeout(PATIENCE, patience).await.context("no pod was Ready within a minute")?
}

async fn connect(kubeconfig: &Path) -> anyhow::Result<Connection> {
    while !kubeconfig.exists() {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Connection::new(Kubeconfig::read(kubeconfig)?)?)
}

/// Whether a refusal is only a matter of a moment: the listener, or the namespace and its service account, are to come.
fn passing(error: &RemoteError) -> bool {
    match error {
        RemoteError::Unreachable { .. } | RemoteError::Broken(_) => true,
        RemoteError::Refused(error) => matches!(error.code(), 403 | 404 | 429 | 503),
        _ => false,
    }
}

fn pod(node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "first" },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "main", "image": "host", "command": ["sleep", "infinity"] }],
        },
    })
}

/// Follows the pod until its condition Ready is True.
async fn until_ready(connection: &Connection) -> anyhow::Result<()> {
    let path = format!("{PODS}?watch=1&fieldSelector=metadata.name%3Dfirst");
    let mut body = connection.send(Method::GET, &path, JSON, None).await?.into_body();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line)?;
            let conditions = event["object"]["status"]["conditions"].as_array();
            if conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True") {
                return Ok(());
            }
        }
    }
    bail!("the watch ended before the pod was Ready")
}

/// Asks the cluster to stop, as Ctrl-C does.
async fn stop(cluster: &mut Cluster) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_child(&cluster.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let deadline = Instant::now() + Duration::from_secs(15);
    while cluster.process.try_wait()?.is_none() {
        if Instant::now() > deadline {
            bail!("orc did not stop within 15 s of SIGTERM");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
