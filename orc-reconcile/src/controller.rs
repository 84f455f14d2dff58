//! The driver of a loop: sources feed keys, workers reconcile them, a status says how it goes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use orc_core::env::{Clock, Rng};
use orc_store::Env;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::metrics::QueueStatus;
use crate::queue::{Backoff, Queue};
use crate::reconciler::{Failure, Key, Next, ReconcileService};
use crate::source::{Sink, Source};

/// How long running passes may take to end after the stop signal, before they are dropped.
const DRAIN: Duration = Duration::from_secs(5);

/// A loop: a queue, its sources and the service that reconciles a key.
///
/// All passes run in the task of [`Controller::run`], interleaved: a loop is deterministic on a current-thread runtime with
/// a seeded [`Env`], and needs no more than one core.
pub struct Controller<K> {
    name: String,
    service: ReconcileService<K>,
    sources: Vec<Box<dyn Source<K>>>,
    sink: Sink<K>,
    rng: Rng,
    concurrency: usize,
    status: Arc<Mutex<LoopStatus>>,
}

/// How a loop does; what operators read.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopStatus {
    /// The loop's name.
    pub name: String,
    /// Passes that ended.
    pub runs: u64,
    /// Passes that failed.
    pub failures: u64,
    /// Passes that panicked.
    pub panics: u64,
    /// When the last pass ended.
    pub last_run: Option<Timestamp>,
    /// How long it took, in seconds.
    pub last_seconds: f64,
    /// What the last failure said.
    pub last_error: Option<String>,
    /// Keys that are ready or running.
    pub depth: usize,
    /// Since when the oldest ready key has waited.
    pub oldest: Option<Timestamp>,
    /// What its queue measured.
    pub queue: QueueStatus,
}

/// A handle to read a loop's status while it runs.
#[derive(Clone)]
pub struct StatusReader<K> {
    status: Arc<Mutex<LoopStatus>>,
    queue: Arc<Mutex<Queue<K>>>,
    clock: Clock,
}

impl<K: Key> StatusReader<K> {
    /// The status now.
    pub fn read(&self) -> LoopStatus {
        let mut status = self.status.lock().clone();
        let queue = self.queue.lock();
        status.depth = queue.depth();
        status.oldest = queue.oldest();
        status.queue = queue.status(self.clock.now());
        status
    }

    /// Whether nothing is ready or running.
    pub fn is_idle(&self) -> bool {
        self.queue.lock().is_idle()
    }
}

impl<K: Key> Controller<K> {
    /// A loop without sources, one pass at a time.
    pub fn new(name: impl Into<String>, env: &Env, service: ReconcileService<K>) -> Self {
        let name = name.into();
        let queue = Arc::new(Mutex::new(Queue::new(Backoff::default())));
        let sink = Sink { queue, wake: Arc::new(Notify::new()), clock: env.clock.clone() };
        let status = Arc::new(Mutex::new(LoopStatus { name: name.clone(), ..LoopStatus::default() }));
        Self { name, service, sources: Vec::new(), sink, rng: env.rng.fork(), concurrency: 1, status }
    }

    /// How many keys may run at the same time.
    ///
    /// # Panics
    /// When it is 0.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        assert!(concurrency > 0, "a controller needs at least one worker");
        self.concurrency = concurrency;
        self
    }

    /// Replaces the backoff of failing keys.
    pub fn backoff(self, backoff: Backoff) -> Self {
        *self.sink.queue.lock() = Queue::new(backoff);
        self
    }

    /// Adds a source of keys.
    pub fn source(mut self, source: impl Source<K>) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// A way to add keys by hand.
    pub fn sink(&self) -> Sink<K> {
        self.sink.clone()
    }

    /// A handle to read the status with.
    pub fn status(&self) -> StatusReader<K> {
        StatusReader { status: self.status.clone(), queue: self.sink.queue.clone(), clock: self.sink.clock.clone() }
    }

    /// Runs until `stop`, then stops intake and drains with a deadline.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sources: FuturesUnordered<_> =
            std::mem::take(&mut self.sources).into_iter().map(|source| source.run(self.sink.clone())).collect();
        let mut running = FuturesUnordered::new();
        loop {
            self.start_ready(&mut running).await;
            // Passes that never wait (all caches, all in this process) would keep a thread of the runtime to themselves.
            tokio::task::coop::consume_budget().await;
            let due = self.sink.queue.lock().next_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((key, started, outcome)) = running.next() => self.finish(key, started, &outcome),
                Some(()) = sources.next() => tracing::debug!(controller = %self.name, "a source ended"),
                () = self.sink.wake.notified() => {}
                () = wait_until(&self.sink.clock, due) => {}
            }
        }
        drop(sources);
        let drained = async {
            while let Some((key, started, outcome)) = running.next().await {
                self.finish(key, started, &outcome);
            }
        };
        tokio::select! {
            biased;
            () = drained => {}
            () = self.sink.clock.sleep(DRAIN) => tracing::warn!("passes were dropped at shutdown"),
        }
    }

    /// Starts ready keys up to the concurrency; a key is popped only once the service is ready for it.
    async fn start_ready(&mut self, running: &mut FuturesUnordered<BoxFuture<'static, Pass<K>>>) {
        while running.len() < self.concurrency {
            if self.sink.queue.lock().is_empty_at(self.sink.clock.now()) {
                return;
            }
            let mut service = self.service.clone();
            if let Err(error) = service.ready().await {
                tracing::error!(controller = %self.name, %error, "the reconcile service is broken");
                return;
            }
            let now = self.sink.clock.now();
            let Some(key) = self.sink.queue.lock().pop(now) else { return };
            running.push(pass(service, key, now).boxed());
        }
    }

    fn finish(&self, key: K, started: Timestamp, outcome: &Result<Next, Failure>) {
        let now = self.sink.clock.now();
        self.sink.queue.lock().done(key.clone(), outcome, now, &self.rng);
        let mut status = self.status.lock();
        status.runs += 1;
        status.last_run = Some(now);
        status.last_seconds = now.duration_since(started).as_secs_f64();
        if let Err(failure) = outcome {
            status.failures += 1;
            status.panics += u64::from(matches!(failure, Failure::Panic(_)));
            status.last_error = Some(format!("{key}: {failure}"));
            drop(status);
            match failure {
                Failure::Panic(_) => tracing::error!(controller = %self.name, %key, %failure, "a pass panicked"),
                _ => tracing::debug!(controller = %self.name, %key, %failure, "a pass failed"),
            }
        }
    }
}

type Pass<K> = (K, Timestamp, Result<Next, Failure>);

async fn pass<K: Key>(mut service: ReconcileService<K>, key: K, started: Timestamp) -> Pass<K> {
    let call = AssertUnwindSafe(async { service.call(key.clone()).await }).catch_unwind();
    let outcome = call.await.unwrap_or_else(|panic| Err(Failure::Panic(panic_text(&*panic))));
    (key, started, outcome)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of another type".to_owned())
}

async fn wait_until(clock: &Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
