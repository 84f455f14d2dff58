//! Runs one workload against one cluster.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, StatusCode};
use indicatif::ProgressBar;
use orc_benches::cluster::Cluster;
use orc_benches::process;
use orc_core::env::Clock;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::background::{churn, confirm, heartbeat};
use crate::objects::{Template, classes};
use crate::outcome::{Counters, Outcome};
use crate::pool::Pool;
use crate::seen::{ENDING, Seen, pod_path};
use crate::workload::{Operation, Pods, Workload};

/// How the runner speaks to the cluster, and how long it waits.
pub(crate) struct Options<'a> {
    pub(crate) orc: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
    pub(crate) patience: Duration,
    pub(crate) flags: &'a [&'a str],
}

/// Runs a workload in a new cluster and measures it.
pub(crate) async fn run(workload: &Workload, options: &Options<'_>, bar: &ProgressBar) -> anyhow::Result<Outcome> {
    let mut flags = vec!["--nodes", "0"];
    flags.extend(options.flags);
    let cluster = Cluster::up(options.orc, options.dir, &flags)?;
    let mut runner = Runner::start(&cluster, options, bar).await?;
    runner.prepare(workload).await?;
    for (at, operation) in workload.operations.iter().enumerate() {
        let step = runner.operation(at, operation).await;
        step.with_context(|| format!("ops[{at}] ({})", operation.name()))?;
        runner.seen.check()?;
    }
    let measured = runner.measured.take().context("no operation was measured")?;
    Ok(Outcome { peak_memory: process::peak(&cluster.processes()), ..measured })
}

struct Runner<'a> {
    pool: Arc<Pool>,
    seen: Arc<Seen>,
    options: &'a Options<'a>,
    bar: &'a ProgressBar,
    /// Everything that goes on beside the operations; it ends with the run.
    tasks: JoinSet<()>,
    nodes: usize,
    measured: Option<Outcome>,
}

impl<'a> Runner<'a> {
    async fn start(cluster: &Cluster, options: &'a Options<'a>, bar: &'a ProgressBar) -> anyhow::Result<Self> {
        let pool = Arc::new(Pool::open(cluster, options.connections, options.streams).await?);
        let (seen, tasks) = (Arc::new(Seen::default()), JoinSet::new());
        let (ending, ended) = mpsc::channel(ENDING);
        let watch = Pool::open(cluster, 1, 1).await?.connection().clone();
        let follow = seen.clone().follow(watch, ending);
        let mut runner = Self { pool: pool.clone(), seen, options, bar, tasks, nodes: 0, measured: None };
        runner.beside("the watch of pods", follow);
        runner.beside("confirming deletions", confirm(pool, ended));
        Ok(runner)
    }

    /// Starts what goes on beside the operations. When it fails, so does the run.
    fn beside(&mut self, what: &'static str, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let seen = self.seen.clone();
        self.tasks.spawn(async move {
            if let Err(error) = work.await {
                seen.fail(format!("{what}: {error:#}"));
            }
        });
    }

    /// What the API server wants beside the workload's own objects.
    async fn prepare(&self, workload: &Workload) -> anyhow::Result<()> {
        for class in classes(workload) {
            let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
            self.pool.send(Method::POST, path, class, StatusCode::CREATED).await?;
        }
        self.account("default").await
    }

    /// A controller makes the account that the pods of a namespace need, a moment after the namespace.
    async fn account(&self, namespace: &str) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        let started = Instant::now();
        while let Err(error) = self.pool.get(&path).await {
            anyhow::ensure!(started.elapsed() < self.options.patience, "{error:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn operation(&mut self, at: usize, operation: &Operation) -> anyhow::Result<()> {
        self.bar.set_message(operation.name());
        self.bar.set_length(operation.count() as u64);
        self.bar.set_position(0);
        match operation {
            Operation::CreateNodes { count, node, label } => self.nodes(at, *count, node, label.as_ref()).await,
            Operation::CreateNamespaces { count, prefix } => self.namespaces(*count, prefix).await,
            Operation::CreatePods(pods) => self.pods(at, pods, std::slice::from_ref(&pods.namespace)).await,
            Operation::CreatePodSets { count, prefix, pods } => {
                let namespaces: Vec<String> = (0..*count).map(|number| format!("{prefix}-{number}")).collect();
                self.namespaces(*count, prefix).await?;
                self.pods(at, pods, &namespaces).await
            }
            Operation::DeletePods { namespace, labels, rate, wait } => {
                self.delete(namespace, labels, *rate, *wait).await
            }
            Operation::Churn(what) => {
                self.beside("churn", churn(self.pool.clone(), at, what.clone()));
                Ok(())
            }
            Operation::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Operation::Barrier { namespaces } => {
                self.seen.until(self.options.patience, |seen| (seen.waiting(namespaces), seen.waiting(&[]))).await
            }
        }
    }

    async fn nodes(
        &mut self,
        at: usize,
        count: usize,
        node: &Value,
        label: Option<&(String, Vec<String>)>,
    ) -> anyhow::Result<()> {
        let labels: Vec<Option<(&str, &str)>> = match label {
            Some((key, values)) => values.iter().map(|value| Some((key.as_str(), value.as_str()))).collect(),
            None => vec![None],
        };
        let templates: Vec<Template> = labels.into_iter().map(|label| Template::node(node, label)).collect();
        let name = |number: usize| format!("{}{at}-{number}", templates[0].prefix());
        let bar = self.bar;
        let object = |number: usize| {
            bar.set_position(number as u64);
            ("/api/v1/nodes".to_owned(), templates[number % templates.len()].body(&name(number)))
        };
        self.pool.create(count, object).await?;
        let names = (0..count).map(name).collect();
        self.beside("keeping nodes alive", heartbeat(self.pool.clone(), Clock::wall(), names));
        self.nodes += count;
        self.ready().await
    }

    /// Waits until a controller has taken the taint of new nodes away.
    async fn ready(&self) -> anyhow::Result<()> {
        let (mut best, mut since) = (0, Instant::now());
        loop {
            let list: Value = serde_json::from_slice(&self.pool.get("/api/v1/nodes?resourceVersion=0").await?)?;
            let nodes = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            let free = nodes.iter().filter(|node| node["spec"]["taints"].as_array().is_none_or(Vec::is_empty)).count();
            if free >= self.nodes {
                return Ok(());
            }
            if free > best {
                (best, since) = (free, Instant::now());
            }
            let wanted = self.nodes;
            anyhow::ensure!(since.elapsed() < self.options.patience, "only {free} of {wanted} nodes became ready");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn namespaces(&self, count: usize, prefix: &str) -> anyhow::Result<()> {
        let names: Vec<String> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
        let object = |number: usize| {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names[number]}});
            ("/api/v1/namespaces".to_owned(), Bytes::from(body.to_string()))
        };
        self.pool.create(count, object).await?;
        for name in &names {
            self.account(name).await?;
        }
        Ok(())
    }

    /// Makes the pods in each of the namespaces, and measures from the first request to the last pod's node.
    async fn pods(&mut self, at: usize, pods: &Pods, namespaces: &[String]) -> anyhow::Result<()> {
        let (template, batch) = (Template::pod(&pods.pod), self.seen.batch());
        let (seen, bar, all) = (&self.seen, self.bar, pods.count * namespaces.len());
        let before = if pods.measure { Some(Counters::read(&self.pool).await?) } else { None };
        let started = Instant::now();
        let object = |number: usize| {
            let name = format!("{}{at}-{number}", template.prefix());
            let namespace = &namespaces[number / pods.count];
            seen.asked(batch, namespace, &name);
            bar.set_position(seen.bound(batch) as u64);
            (format!("/api/v1/namespaces/{namespace}/pods"), template.body(&name))
        };
        self.pool.create(all, object).await?;
        let created = started.elapsed();
        if !pods.wait && !pods.measure {
            return Ok(());
        }
        let left = |seen: &Seen| {
            bar.set_position(seen.bound(batch) as u64);
            (all - seen.bound(batch), all)
        };
        self.seen.until(self.options.patience, left).await?;
        if let Some(before) = before {
            let after = Counters::read(&self.pool).await?;
            let batch = self.seen.take(batch);
            let took = batch.last.map(|last| last - started).unwrap_or_default();
            self.measured = Some(Outcome::of(all, took, created, batch.latencies, after.since(&before)));
        }
        Ok(())
    }

    async fn delete(
        &mut self,
        namespace: &str,
        labels: &[(String, String)],
        rate: Option<u32>,
        wait: bool,
    ) -> anyhow::Result<()> {
        let selector: Vec<String> = labels.iter().map(|(key, value)| format!("{key}%3D{value}")).collect();
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={}", selector.join(","));
        let list: Value = serde_json::from_slice(&self.pool.get(&path).await?)?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> =
            items.iter().filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect();
        self.bar.set_length(names.len() as u64);
        let step = rate.map_or(names.len(), |_| 1).max(1);
        let deletion = {
            let (pool, seen, namespace) = (self.pool.clone(), self.seen.clone(), namespace.to_owned());
            async move {
                let mut pace = rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate.max(1)));
                for some in names.chunks(step) {
                    if let Some(pace) = &mut pace {
                        pace.tick().await;
                    }
                    pool.delete(some.iter().map(|name| pod_path(&namespace, name)).collect()).await?;
                    some.iter().for_each(|name| seen.forget(name));
                }
                anyhow::Ok(())
            }
        };
        if wait {
            return deletion.await;
        }
        self.beside("deletePods", deletion);
        Ok(())
    }
}
