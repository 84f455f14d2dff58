//! The webhook backend: events are sent to a server, many at a time.
//!
//! As kube-apiserver's (`--audit-webhook-*`, with its defaults): a bounded queue that loses events when it is full, batches that
//! go out when they are large enough or old enough, no more than so many a second, tried again with a growing pause. The server
//! is described by a file in the form of a kubeconfig and is sent `EventList`s of `audit.k8s.io/v1`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Uri};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use orc_core::env::{Clock, Rng, System, Task};
use tokio::sync::{Semaphore, mpsc};

use super::Mode;
use crate::remote::{Connection, Kubeconfig, RemoteError};

/// How often a batch is sent, with the first time; the pause grows by half each time, and by up to a fifth more by chance
/// (`DefaultRetryBackoffWithInitialDelay` of upstream).
const TRIES: u32 = 5;
/// Batches that are under way at a time, so that one that has to be tried again does not hold up the others.
const UNDER_WAY: usize = 8;
/// How long the server may take for one answer, as client-go's webhooks have it.
const ANSWER: Duration = Duration::from_secs(30);

/// How events are sent (`--audit-webhook-*` of kube-apiserver).
#[derive(Clone, PartialEq, Debug)]
pub struct WebhookConfig {
    /// Whether requests wait until their event was sent.
    pub mode: Mode,
    /// Events that may wait at a time; more are lost.
    pub buffer: usize,
    /// Events of a batch.
    pub batch: usize,
    /// How long a batch waits for more events.
    pub wait: Duration,
    /// Batches a second and how many at once, `None` for as many as there are.
    pub throttle: Option<(f64, u32)>,
    /// The pause before a batch is tried again.
    pub backoff: Duration,
}

impl Default for WebhookConfig {
    /// The defaults of kube-apiserver.
    fn default() -> Self {
        Self {
            mode: Mode::Batch,
            buffer: 10_000,
            batch: 400,
            wait: Duration::from_secs(30),
            throttle: Some((10.0, 15)),
            backoff: Duration::from_secs(10),
        }
    }
}

/// Sends events. Stops, with what waits, when it is dropped.
pub struct Webhook {
    queue: mpsc::Sender<String>,
    sending: Arc<Sending>,
    mode: Mode,
    _task: Task,
}

/// Why a batch was not taken.
#[derive(Debug)]
struct Refusal {
    why: String,
    again: bool,
}

/// Where batches go.
#[async_trait]
trait Sink: Send + Sync {
    async fn post(&self, list: Bytes) -> Result<(), Refusal>;
}

struct Server {
    connection: Connection,
    path: String,
}

#[async_trait]
impl Sink for Server {
    async fn post(&self, list: Bytes) -> Result<(), Refusal> {
        let body = Some(("application/json", list));
        let answer = self.connection.send(Method::POST, &self.path, "application/json, */*", body);
        match tokio::time::timeout(ANSWER, answer).await {
            Err(_) => Err(Refusal { why: "no answer in time".to_owned(), again: true }),
            // The rest of an answer is of no interest, but its end frees the connection.
            Ok(Ok(answer)) => {
                drop(answer.into_body().collect().await);
                Ok(())
            }
            Ok(Err(RemoteError::Refused(error))) => {
                let again = error.code() >= 500 || error.code() == 429;
                Err(Refusal { why: error.to_string(), again })
            }
            Ok(Err(error)) => Err(Refusal { why: error.to_string(), again: true }),
        }
    }
}

impl Webhook {
    /// Starts to send to the server that `to` describes.
    ///
    /// # Errors
    /// When its URL, which must be `https`, or its certificates do not read.
    pub fn start(to: Kubeconfig, config: &WebhookConfig, system: &System) -> Result<Self, RemoteError> {
        let url: Uri = to.server.parse().map_err(|_| RemoteError::Setup("server URL"))?;
        if url.scheme_str() != Some("https") {
            return Err(RemoteError::Setup("server URL (it must begin with https://)"));
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let sink = Server { connection: Connection::new(to)?, path };
        Ok(Self::over(Arc::new(sink), config, system))
    }

    fn over(sink: Arc<dyn Sink>, config: &WebhookConfig, system: &System) -> Self {
        let sending = Arc::new(Sending {
            sink,
            backoff: config.backoff,
            clock: system.clock.clone(),
            rng: system.rng.fork(),
            lost: AtomicU64::new(0),
        });
        let (queue, events) = mpsc::channel(config.buffer.max(1));
        let mut config = config.clone();
        if config.mode == Mode::Blocking {
            // What nobody waits for goes out by itself, as what somebody waits for does.
            (config.batch, config.wait, config.throttle) = (1, Duration::ZERO, None);
        }
        let task = system.spawn.spawn(run(events, config.clone(), sending.clone(), system.clone()));
        Self { queue, sending, mode: config.mode, _task: task }
    }

    /// Events that were lost since the start.
    pub fn lost(&self) -> u64 {
        self.sending.lost.load(Ordering::Relaxed)
    }

    /// Hands an event over; in blocking mode returns once it was sent or given up.
    pub(super) async fn write(&self, line: String) {
        match self.mode {
            Mode::Batch => self.write_later(line),
            Mode::Blocking => self.sending.deliver(&[line]).await,
        }
    }

    /// Hands an event over without waiting.
    pub(super) fn write_later(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.sending.lose(1, "the server does not keep up");
        }
    }
}

struct Sending {
    sink: Arc<dyn Sink>,
    backoff: Duration,
    clock: Clock,
    rng: Rng,
    lost: AtomicU64,
}

impl Sending {
    /// Sends events, again where that may help.
    async fn deliver(&self, events: &[String]) {
        let list = list(events);
        let mut pause = self.backoff;
        for left in (0..TRIES).rev() {
            match self.sink.post(list.clone()).await {
                Ok(()) => return,
                Err(Refusal { why, again }) if !again || left == 0 => return self.lose(events.len() as u64, &why),
                Err(Refusal { why, .. }) => tracing::warn!(why, "audit events were not taken; they are sent again"),
            }
            let chance = self.rng.below(200) as f64 / 1000.0;
            self.clock.sleep(pause.mul_f64(1.0 + chance)).await;
            pause = pause.mul_f64(1.5);
        }
    }

    fn lose(&self, count: u64, why: &str) {
        let before = self.lost.fetch_add(count, Ordering::Relaxed);
        // Once for each power of two: the log must not be what a flood fills.
        if before == 0 || before.ilog2() != (before + count).ilog2() {
            tracing::error!(lost = before + count, why, "audit events are lost");
        }
    }
}

/// An `EventList`. Items of a list do not say their kind.
fn list(events: &[String]) -> Bytes {
    const OWN: &str = "\"apiVersion\":\"audit.k8s.io/v1\",";
    const KIND: &str = "\"kind\":\"Event\",";
    let mut text =
        String::from("{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[");
    for (number, event) in events.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        let rest = event.strip_prefix('{').unwrap_or(event);
        let rest = rest.strip_prefix(KIND).unwrap_or(rest);
        text.push('{');
        text.push_str(rest.strip_prefix(OWN).unwrap_or(rest));
    }
    text.push_str("]}");
    text.into()
}

/// Collects batches and sends them until nobody can write any more.
async fn run(mut events: mpsc::Receiver<String>, config: WebhookConfig, sending: Arc<Sending>, system: System) {
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let mut bucket = config.throttle.map(|(rate, burst)| Bucket::full(rate, burst, system.clock.now()));
    while let Some(batch) = collect(&mut events, config.batch.max(1), config.wait, &system.clock).await {
        if let Some(bucket) = &mut bucket {
            let wait = bucket.take(system.clock.now());
            system.clock.sleep(wait).await;
        }
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let sending = sending.clone();
        system.spawn.detach(async move {
            sending.deliver(&batch).await;
            drop(place);
        });
    }
}

/// The next batch: so many events, or what has come so long after the first. `None` at the end.
async fn collect(
    events: &mut mpsc::Receiver<String>,
    most: usize,
    wait: Duration,
    clock: &Clock,
) -> Option<Vec<String>> {
    let mut batch = vec![events.recv().await?];
    let mut due = std::pin::pin!(clock.sleep(wait));
    while batch.len() < most {
        tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => batch.push(event),
                None => break,
            },
            () = &mut due => break,
        }
    }
    Some(batch)
}

/// A token bucket.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    fn full(rate: f64, burst: u32, now: Timestamp) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate: rate.max(0.001), burst, tokens: burst, at: now }
    }

    /// Takes a token, and says how long to wait for it.
    fn take(&mut self, now: Timestamp) -> Duration {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + passed * self.rate).min(self.burst) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.tokens / self.rate).max(0.0))
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
