//! One writer and very many watchers with selectors.
//!
//! `narrow`: each watcher has a `fieldSelector` of its own (`spec.nodeName=node-i`), as node agents have; an event is one
//! delivery. `labels`: watchers share fifty label selectors; an event is delivered to a fiftieth of them, and all have to look.
//! `all`: an event goes to everyone. The writer waits until an event was delivered before it makes the next, so that the delay
//! is that of a fan-out and not of a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use orc_api::Registry;
use orc_benches::{Measure, Report, Unit, pods};
use orc_core::ResourceId;
use orc_core::env::System;
use orc_core::labels::{FieldSelector, Selector};
use orc_store::backend::{Durability, Expect, MemoryBackend};
use orc_store::client::{Scope, Selection, WatchOptions};
use orc_store::{Store, WatchEvent};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::memory;

/// Measures the fan-out of events.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many watchers.
    #[arg(long, default_value_t = 10_000)]
    watchers: usize,
    /// How many events.
    #[arg(long, default_value_t = 500)]
    events: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The labels that the pods of [`pods`] are spread over.
const APPS: usize = 50;

struct Shared {
    began: Mutex<Instant>,
    left: AtomicU64,
    done: Notify,
    delays: Mutex<Vec<Duration>>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut report = Report::on_this_machine();
    for kind in ["narrow", "labels", "all"] {
        let measures = one(kind, &args).await?;
        anstream::eprintln!("{kind}: {}", Unit::PerSecond.show(measures[0].runs[0]));
        report.measures.extend(measures);
    }
    report.fact("watchers", args.watchers);
    report.fact("events", args.events);
    report.print(args.json);
    Ok(())
}

fn selection(kind: &str, watcher: usize) -> anyhow::Result<Selection> {
    let mut select = Selection::default();
    match kind {
        "narrow" => select.fields = FieldSelector::parse(&format!("spec.nodeName=node-{watcher}"))?,
        "labels" => select.labels = Selector::parse(&format!("app=web-{}", watcher % APPS))?,
        _ => {}
    }
    Ok(select)
}

/// How many watchers see an event of pod `number` on node `node`.
fn interested(kind: &str, watchers: usize, number: usize) -> u64 {
    let count = match kind {
        "narrow" => 1,
        "labels" => (0..watchers).filter(|watcher| watcher % APPS == number % APPS).count(),
        _ => watchers,
    };
    count as u64
}

async fn one(kind: &str, args: &Args) -> anyhow::Result<Vec<Measure>> {
    let system = System::real();
    let store = Store::open(Arc::new(MemoryBackend::new()), Registry::fields(), system).await?;
    let shared = Arc::new(Shared {
        began: Mutex::new(Instant::now()),
        left: AtomicU64::new(0),
        done: Notify::new(),
        delays: Mutex::default(),
    });
    let before = memory::resident();
    let mut tasks = Vec::with_capacity(args.watchers);
    for watcher in 0..args.watchers {
        let options = WatchOptions { select: selection(kind, watcher)?, ..WatchOptions::default() };
        let stream = store.watch(&Scope::all(ResourceId::new("", "pods")), &options).await?;
        tasks.push(tokio::spawn(watch(stream, shared.clone())));
    }
    // Every watcher has come to its first wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let weight = memory::resident().saturating_sub(before) as f64 / args.watchers as f64;
    let (started, mut deliveries) = (Instant::now(), 0);
    for event in 0..args.events {
        let count = interested(kind, args.watchers, event);
        shared.left.store(count, Ordering::SeqCst);
        let body = pods::body(event, event % args.watchers, 0);
        *shared.began.lock() = Instant::now();
        store.commit(&pods::key(event), Some(body), Expect::Absent, Some(Durability::Relaxed)).await?;
        shared.done.notified().await;
        deliveries += count;
    }
    let rate = deliveries as f64 / started.elapsed().as_secs_f64();
    for task in tasks {
        task.abort();
    }
    let mut delays = std::mem::take(&mut *shared.delays.lock());
    delays.sort_unstable();
    let p99 = delays.get(delays.len() * 99 / 100).copied().unwrap_or_default();
    let name = |what: &str| format!("{kind}: {what}");
    Ok(vec![
        Measure::new(name("deliveries"), Unit::PerSecond).run(rate),
        Measure::new(name("delay from commit to delivery, p99"), Unit::Seconds).run(p99.as_secs_f64()),
        Measure::new(name("memory a watcher"), Unit::Bytes).run(weight),
    ])
}

async fn watch(mut stream: orc_store::WatchStream, shared: Arc<Shared>) {
    while let Some(Ok(event)) = stream.next().await {
        if !matches!(event, WatchEvent::Added(_)) {
            continue;
        }
        let delay = shared.began.lock().elapsed();
        shared.delays.lock().push(delay);
        if shared.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            shared.done.notify_one();
        }
    }
}
