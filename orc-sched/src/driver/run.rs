//! The loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use orc_core::env::Rng;
use orc_core::{Name, ResourceId};
use orc_reconcile::CancellationToken;
use orc_store::{Env, Stored};

use super::config::SchedulerConfig;
use super::facts::FactFeed;
use super::place::Bound;
use super::queue::{PodQueue, QueuePoints};
use super::report::{Report, Reporter};
use super::status::StatusReader;
use super::unfit::Evicted;
use super::watch::{Seen, Watched};
use crate::engine::{Engine, Event};
use crate::node::NodeInfo;
use crate::plugin::Hint;
use crate::pod::PodInfo;

/// The most changes taken in before pods are scheduled again, so that neither side starves.
const INTAKE: usize = 256;
/// How long bindings under way may take after the stop signal.
const DRAIN: Duration = Duration::from_secs(5);

/// The live scheduler.
pub struct Scheduler {
    pub(super) env: Env,
    pub(super) config: SchedulerConfig,
    pub(super) engine: Engine,
    pub(super) queue: PodQueue,
    pub(super) binding: FuturesUnordered<BoxFuture<'static, Bound>>,
    pub(super) evictions: FuturesUnordered<BoxFuture<'static, Evicted>>,
    /// Pods with the victims that are being evicted for them.
    pub(super) leaving: BTreeMap<Name, BTreeSet<Name>>,
    pub(super) reporter: Reporter,
    pub(super) hints: BTreeSet<Hint>,
    pub(super) rng: Rng,
    pub(super) status: StatusReader,
}

impl Scheduler {
    /// A scheduler that has seen nothing yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(env: Env, config: SchedulerConfig) -> Self {
        let status = StatusReader::default();
        config.notes.iter().for_each(|note| tracing::warn!("configuration: {note}"));
        Self {
            engine: Engine::new(config.profiles.clone()),
            queue: PodQueue::with_points(config.timing, QueuePoints::of(&config.profiles))
                .counted(status.shared_metrics()),
            binding: FuturesUnordered::new(),
            evictions: FuturesUnordered::new(),
            leaving: BTreeMap::new(),
            reporter: Reporter::start(&env, config.events, status.clone()),
            hints: BTreeSet::new(),
            rng: env.rng.fork(),
            status,
            env,
            config,
        }
    }

    /// A handle to read the status with.
    pub fn status(&self) -> StatusReader {
        self.status.clone()
    }

    /// Schedules pods until `stop`, then waits a little for the bindings under way.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut nodes, mut pods) = (Watched::of::<Node>(&self.env.caches), Watched::of::<Pod>(&self.env.caches));
        let mut facts = FactFeed::start(&self.env);
        let first = async { (nodes.begin().await, pods.begin().await, facts.begin(&self.env.clock).await) };
        let (first_nodes, first_pods, first_facts) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            first = first => first,
        };
        first_facts.iter().for_each(|event| self.apply(event));
        self.take(first_nodes.into_iter().chain(first_pods));
        loop {
            let seen: Vec<Seen> = nodes.ready(INTAKE).into_iter().chain(pods.ready(INTAKE)).collect();
            self.take(seen);
            self.schedule();
            if stop.is_cancelled() {
                break;
            }
            let due = self.next_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(bound) = self.binding.next() => self.settle(bound),
                Some(evicted) = self.evictions.next() => self.evicted(evicted),
                Some(events) = facts.next() => {
                    events.iter().for_each(|event| self.apply(event));
                    self.wake();
                }
                Some(seen) = nodes.next() => self.take(seen),
                Some(seen) = pods.next() => self.take(seen),
                () = wait_until(&self.env, due) => {}
            }
        }
        self.drain().await;
    }

    /// Takes changes in and wakes the parked pods that they could help.
    fn take(&mut self, seen: impl IntoIterator<Item = Seen>) {
        let (pods, nodes) = (ResourceId::of::<Pod>(), ResourceId::of::<Node>());
        for seen in seen {
            match seen {
                Seen::Now(now) if now.key.resource == pods => self.pod(&now),
                Seen::Now(now) => self.node(&now),
                Seen::Gone(key, _) if key.resource == nodes => self.apply(&Event::NodeGone(key.name)),
                Seen::Gone(_, uid) => self.pod_gone(&uid),
            }
        }
        self.wake();
    }

    fn apply(&mut self, event: &Event) {
        self.hints.extend(self.engine.apply(event));
    }

    pub(super) fn wake(&mut self) {
        let hints = std::mem::take(&mut self.hints);
        if !hints.is_empty() {
            let plugins: Vec<_> = self.engine.profiles().iter().flat_map(|profile| &profile.plugins).collect();
            let helps = |name: &str, hint| {
                (name == super::group::GROUP && hint == Hint::GroupGrew)
                    || plugins.iter().any(|(plugin, _)| plugin.name() == name && plugin.helped_by(hint))
            };
            self.queue.wake(&hints, self.env.clock.now(), helps);
        }
    }

    fn node(&mut self, stored: &Stored) {
        match stored.view::<Node>() {
            Ok(node) => self.apply(&Event::Node(Arc::new(NodeInfo::of(&node)))),
            Err(error) => tracing::error!(key = %stored.key, %error, "a node does not decode; its last state stays"),
        }
    }

    /// Whether the head of a pod says all there is to know, so that the pod need not be read: another scheduler's pod that waits, or
    /// our own decision that came true.
    fn is_told_by_head(&mut self, stored: &Stored) -> bool {
        let head = &stored.head;
        let (scheduler, node) = (head.field("spec.schedulerName"), head.field("spec.nodeName"));
        if node.is_empty() {
            return !scheduler.is_empty() && self.engine.profile(scheduler).is_none();
        }
        let Some((pod, assumed)) = self.engine.assumed(&head.uid) else { return false };
        let labels = pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let same = assumed.as_str() == node
            && head.deletion.is_none()
            && head.generation == pod.generation
            && head.field("status.phase") == "Pending"
            && head.labels.iter().eq(labels);
        if same {
            self.queue.remove(&head.uid);
            self.engine.confirm(&head.uid);
        }
        same
    }

    fn pod(&mut self, stored: &Stored) {
        if self.is_told_by_head(stored) {
            return;
        }
        let pod = match stored.view::<Pod>() {
            Ok(pod) => Arc::new(PodInfo::of(&pod)),
            Err(error) => {
                return tracing::error!(key = %stored.key, %error, "a pod does not decode; its last state stays");
            }
        };
        if pod.ended || (pod.deleting && pod.node.is_none()) {
            return self.pod_gone(&pod.uid);
        }
        if pod.node.is_some() {
            if pod.deleting {
                self.has_left(&pod.uid);
            }
            self.queue.remove(&pod.uid);
            return self.apply(&Event::Pod(pod));
        }
        // An assumed pod without an entry was bound: this is an older state of it.
        let bound = self.engine.is_placed(&pod.uid) && !self.queue.contains(&pod.uid);
        if !bound && self.engine.profile(&pod.scheduler).is_some() {
            let moved = pod.nominated.as_ref().is_some_and(|node| self.engine.nominate(&pod, node));
            if moved {
                self.hints.insert(Hint::PodLeft);
            }
            self.queue.put(pod.clone(), self.env.clock.now());
            if let Some(why) = self.queue.held(&pod) {
                self.reporter.tell(Report::gated(pod, why));
            } else if pod.gang.is_some() {
                self.hints.insert(Hint::GroupGrew);
            }
        }
    }

    fn pod_gone(&mut self, uid: &Name) {
        self.queue.remove(uid);
        self.leaving.remove(uid);
        self.has_left(uid);
        self.apply(&Event::PodGone(uid.clone()));
    }

    /// Decides about ready pods, as many as there is room for on the way to the API.
    fn schedule(&mut self) {
        let now = self.env.clock.now();
        self.queue.flush(now);
        let mut tries = 0;
        while self.binding.len() < self.config.binds && tries < INTAKE {
            let Some(pod) = self.queue.pop(now) else { break };
            self.place(pod, self.env.clock.now());
            tries += 1;
        }
        let depths = self.queue.depths();
        let mut status = self.status.0.lock();
        (status.active, status.backoff, status.parked, status.gated) =
            (depths.active, depths.backoff, depths.parked, depths.gated);
        status.binding = self.binding.len();
        if tries > 0 {
            status.last_decision = Some(now);
        }
    }

    /// When there is something to do without an event; never while the way to the API is full.
    fn next_due(&self) -> Option<Timestamp> {
        self.queue.next_due().filter(|_| self.binding.len() < self.config.binds)
    }

    async fn drain(&mut self) {
        let clock = self.env.clock.clone();
        let deadline = clock.sleep(DRAIN);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                bound = self.binding.next() => match bound {
                    Some(bound) => self.settle(bound),
                    None => return,
                },
                () = &mut deadline => return tracing::warn!("bindings were dropped at shutdown"),
            }
        }
    }
}

/// Waits for a point in time; a past one gives way to other tasks once.
async fn wait_until(env: &Env, at: Option<Timestamp>) {
    match at {
        Some(at) if at <= env.clock.now() => tokio::task::yield_now().await,
        Some(at) => env.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
