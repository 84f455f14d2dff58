//! The loop of the agent: news from the API, from the runtime, from futures and from the clock go into the machines; what
//! the machines ask for becomes futures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use orc_core::{ApiError, ObjectKey};
use orc_reconcile::CancellationToken;

use super::context::{Context, View, uid_of};
use super::feed::{News, NodePods, PodFeed};
use super::observe::SandboxIds;
use super::{act, admission, observe, status, volumes};
use crate::machine::{Action, Failure, Input, Machine, MachineConfig, Observation, Step};
use crate::runtime::{Event, RuntimeError, SandboxId};

/// ConfigMaps, Secrets and tokens in volumes are looked at again this often, as the kubelet does.
const REFRESH: Duration = Duration::from_secs(60);
/// A status that could not be written, or a runtime that could not be asked, is tried again after this.
const RETRY: Duration = Duration::from_secs(2);

type Beside = BoxFuture<'static, Finished>;

/// What a future beside the loop brings back.
pub(super) enum Finished {
    /// An action, and what the runtime showed afterwards.
    Action(String, Action, Result<(), Failure>, Option<(u64, Observation)>),
    /// An answer of a probe or hook.
    Input(String, Input),
    /// What the runtime shows.
    Observed(String, Result<(u64, Observation), RuntimeError>),
    /// A status was written, or not.
    Written(String, Result<(), ApiError>),
    /// Volumes were looked at again.
    Refreshed(String),
    /// Nothing to do with any pod.
    Nothing,
}

/// One pod in the loop.
struct Worker {
    key: ObjectKey,
    machine: Machine,
    ids: SandboxIds,
    /// The newest observation taken in.
    seen: u64,
    observing: bool,
    observe_again: bool,
    /// A status that waits for the one being written.
    pending: Option<Arc<PodStatus>>,
    writing: bool,
    refreshing: bool,
    wake: Option<Timestamp>,
    retry_status: Option<Timestamp>,
}

struct Work {
    context: Arc<Context>,
    pods: NodePods,
    machine: MachineConfig,
    workers: BTreeMap<String, Worker>,
    newest: BTreeMap<ObjectKey, String>,
    timers: BTreeSet<(Timestamp, String)>,
    beside: FuturesUnordered<Beside>,
}

/// Runs the pods of a node until `stop`.
pub(super) async fn run(context: Arc<Context>, feed: &Arc<PodFeed>, stop: CancellationToken) {
    let pods = feed.join(&context.config.node_name);
    let mut events = context.runtime.events();
    let machine = machine_config(&context).await;
    let mut work = Work {
        pods,
        machine,
        workers: BTreeMap::new(),
        newest: BTreeMap::new(),
        timers: BTreeSet::new(),
        beside: FuturesUnordered::new(),
        context,
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = work.take_over() => {}
    }
    let mut refresh = work.context.now().checked_add(REFRESH).unwrap_or(Timestamp::MAX);
    let clock = work.context.env.clock.clone();
    loop {
        let due = work.timers.first().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(finished) = work.beside.next() => work.finish(finished),
            event = events.next() => match event {
                Some(event) => work.runtime_event(&event),
                None => return tracing::error!("the runtime's events ended; the agent stops"),
            },
            news = work.pods.news() => work.take_news(&news),
            () = until(&clock, due) => work.tick(),
            () = clock.sleep_until(refresh) => {
                work.refresh();
                refresh = clock.now().checked_add(REFRESH).unwrap_or(Timestamp::MAX);
            }
        }
    }
}

async fn until(clock: &orc_core::env::Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn machine_config(context: &Context) -> MachineConfig {
    let scheme = context.runtime.runtime_status().await.version.name;
    MachineConfig { scheme, host_ips: context.config.addresses.clone() }
}

impl Work {
    /// Finds what an agent before this one left: pods of the API get their machines, the rest is ended.
    async fn take_over(&mut self) {
        self.pods.synced().await;
        let (mut seen, number) = loop {
            let number = self.context.observation();
            match everything(&self.context).await {
                Ok(seen) => break (seen, number),
                Err(error) => tracing::error!(error = %error.full_message(), "the runtime cannot be asked"),
            }
            self.context.env.clock.sleep(RETRY).await;
        };
        for key in self.pods.all() {
            let Some(pod) = self.pods.get(&key) else { continue };
            let uid = uid_of(&pod).to_owned();
            let mut found = seen.remove(&uid).unwrap_or_default();
            observe::last_words(&self.context, &pod, &mut found).await;
            self.adopt(&key, pod, found, number);
        }
        for (uid, orphan) in seen {
            tracing::info!(%uid, "a pod that the API does not know is ended");
            self.beside.push(act::end_orphan(self.context.clone(), uid, orphan).map(|()| Finished::Nothing).boxed());
        }
    }

    fn adopt(&mut self, key: &ObjectKey, pod: Arc<Pod>, found: Observation, number: u64) {
        let uid = uid_of(&pod).to_owned();
        let now = self.context.now();
        let ids: BTreeSet<SandboxId> = found.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        let fresh = found.sandboxes.is_empty();
        let refused = fresh.then(|| self.refuses(&pod)).flatten();
        let machine = Machine::new(pod, self.machine.clone(), now);
        let worker = Worker {
            key: key.clone(),
            machine,
            ids: Arc::new(parking_lot::Mutex::new(ids)),
            seen: number,
            observing: false,
            observe_again: false,
            pending: None,
            writing: false,
            refreshing: false,
            wake: None,
            retry_status: None,
        };
        self.workers.insert(uid.clone(), worker);
        self.newest.insert(key.clone(), uid.clone());
        if let Some((reason, message)) = refused {
            self.step(&uid, Input::Reject(reason, message));
        }
        self.step(&uid, Input::Observed(found));
    }

    /// Why the node does not take a pod that did not begin to run here.
    fn refuses(&self, pod: &Pod) -> Option<(String, String)> {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if matches!(phase, Some("Running" | "Succeeded" | "Failed")) || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let others = self.workers.values().filter(|worker| worker.machine.is_active());
        let others: Vec<Arc<Pod>> = others.map(|worker| worker.machine.pod().clone()).collect();
        admission::refuse(pod, &others, &self.context.config)
    }

    fn take_news(&mut self, news: &News) {
        let mut keys = news.keys.clone();
        if news.all {
            keys.extend(self.pods.all());
            keys.extend(self.newest.keys().cloned());
        }
        for key in keys {
            self.pod_changed(&key);
        }
    }

    fn pod_changed(&mut self, key: &ObjectKey) {
        let known = self.newest.get(key).cloned();
        let Some(pod) = self.pods.get(key) else {
            if let Some(uid) = known {
                self.step(&uid, Input::Gone);
            }
            return;
        };
        let uid = uid_of(&pod).to_owned();
        if known.as_ref() == Some(&uid) {
            return self.step(&uid, Input::Spec(pod));
        }
        if let Some(old) = known {
            self.step(&old, Input::Gone);
        }
        let number = self.context.observation();
        self.adopt(key, pod, Observation::default(), number);
    }

    fn runtime_event(&mut self, event: &Event) {
        match event {
            Event::Pod(uid) => self.observe(&uid.clone()),
            Event::Lagged => {
                let all: Vec<String> = self.workers.keys().cloned().collect();
                all.iter().for_each(|uid| self.observe(uid));
            }
        }
    }

    /// Asks the runtime about a pod, once at a time.
    fn observe(&mut self, uid: &str) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.observing {
            worker.observe_again = true;
            return;
        }
        worker.observing = true;
        let (context, pod, ids) = (self.context.clone(), worker.machine.pod().clone(), worker.ids.clone());
        let uid = uid.to_owned();
        self.beside.push(
            async move {
                let seen = observe::observe(&context, &pod, &ids).await;
                Finished::Observed(uid, seen)
            }
            .boxed(),
        );
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Action(uid, action, result, seen) => {
                let seen = seen.and_then(|seen| self.fresh(&uid, seen));
                self.step(&uid, Input::Done(action, result, seen));
            }
            Finished::Input(uid, input) => self.step(&uid, input),
            Finished::Observed(uid, seen) => self.observed(&uid, seen),
            Finished::Written(uid, result) => self.written(&uid, result),
            Finished::Refreshed(uid) => {
                if let Some(worker) = self.workers.get_mut(&uid) {
                    worker.refreshing = false;
                }
            }
            Finished::Nothing => {}
        }
    }

    fn observed(&mut self, uid: &str, seen: Result<(u64, Observation), RuntimeError>) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.observing = false;
        let again = std::mem::take(&mut worker.observe_again);
        match seen {
            Ok(seen) => {
                if let Some(seen) = self.fresh(uid, seen) {
                    self.step(uid, Input::Observed(seen));
                }
                if again {
                    self.observe(uid);
                }
            }
            Err(error) => {
                tracing::warn!(%uid, error = %error.full_message(), "the runtime cannot be asked about a pod");
                worker.observing = true;
                let (context, uid) = (self.context.clone(), uid.to_owned());
                let (pod, ids) = (worker.machine.pod().clone(), worker.ids.clone());
                let again = async move {
                    context.env.clock.sleep(RETRY).await;
                    Finished::Observed(uid, observe::observe(&context, &pod, &ids).await)
                };
                self.beside.push(again.boxed());
            }
        }
    }

    /// An observation unless a newer one was taken in already.
    fn fresh(&mut self, uid: &str, (number, seen): (u64, Observation)) -> Option<Observation> {
        let worker = self.workers.get_mut(uid)?;
        if number < worker.seen {
            return None;
        }
        worker.seen = number;
        Some(seen)
    }

    fn tick(&mut self) {
        let now = self.context.now();
        while let Some((at, uid)) = self.timers.first().cloned() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            let Some(worker) = self.workers.get_mut(&uid) else { continue };
            if worker.wake == Some(at) {
                worker.wake = None;
            }
            if worker.retry_status.is_some_and(|at| at <= now) {
                worker.retry_status = None;
                self.write_status(&uid);
            }
            self.step(&uid, Input::Tick);
        }
    }

    fn refresh(&mut self) {
        for (uid, worker) in &mut self.workers {
            let pod = worker.machine.pod().clone();
            if worker.refreshing || !worker.machine.is_active() || !volumes::change_by_themselves(&pod) {
                continue;
            }
            worker.refreshing = true;
            let (context, uid) = (self.context.clone(), uid.clone());
            let status = worker.machine.status().clone();
            self.beside.push(
                async move {
                    if let Err(failure) = volumes::set_up(&context, &pod, &status).await {
                        tracing::warn!(%uid, error = %failure.message, "volumes could not be refreshed");
                    }
                    Finished::Refreshed(uid)
                }
                .boxed(),
            );
        }
    }

    fn step(&mut self, uid: &str, input: Input) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        let Step { actions, status, events, wake, finished } = worker.machine.step(input, self.context.now());
        let pod = worker.machine.pod().clone();
        for event in events {
            self.context.recorder.record(&pod, &event);
        }
        // A pod that was taken up after a restart may have no news for a long time, but is asked for its logs at once.
        let mut views = self.context.views.lock();
        if status.is_some() || !views.contains_key(&worker.key) {
            let status = status.clone().unwrap_or_else(|| worker.machine.status().clone());
            views.insert(worker.key.clone(), View { pod: pod.clone(), status });
        }
        drop(views);
        if let Some(status) = status {
            worker.pending = Some(status);
        }
        if let Some(at) = wake
            && worker.wake.is_none_or(|wake| at < wake)
        {
            worker.wake = Some(at);
            self.timers.insert((at, uid.to_owned()));
        }
        let ids = worker.ids.clone();
        for action in actions {
            let status = worker.machine.status().clone();
            let order = act::Order { uid: uid.to_owned(), pod: pod.clone(), status, ids: ids.clone(), action };
            self.beside.push(act::act(self.context.clone(), order).boxed());
        }
        self.write_status(uid);
        if finished {
            self.forget(uid);
        }
    }

    fn forget(&mut self, uid: &str) {
        let Some(worker) = self.workers.remove(uid) else { return };
        if self.newest.get(&worker.key).is_some_and(|newest| newest == uid) {
            self.newest.remove(&worker.key);
            self.context.views.lock().remove(&worker.key);
        }
    }

    fn write_status(&mut self, uid: &str) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if worker.writing || worker.retry_status.is_some() {
            return;
        }
        let Some(wanted) = worker.pending.take() else { return };
        worker.writing = true;
        let (context, key, uid) = (self.context.clone(), worker.key.clone(), uid.to_owned());
        let write = async move {
            let result = status::write(&context, &key, &uid, &wanted).await;
            Finished::Written(uid, result)
        };
        self.beside.push(write.boxed());
    }

    fn written(&mut self, uid: &str, result: Result<(), ApiError>) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        worker.writing = false;
        if let Err(error) = result {
            tracing::warn!(%uid, %error, "a pod's status could not be written");
            let status = worker.machine.status().clone();
            worker.pending.get_or_insert(status);
            let at = self.context.now().checked_add(RETRY).unwrap_or(Timestamp::MAX);
            worker.retry_status = Some(at);
            self.timers.insert((at, uid.to_owned()));
        }
        self.write_status(uid);
    }
}

/// All that the runtime holds, by pod.
async fn everything(context: &Context) -> Result<BTreeMap<String, Observation>, RuntimeError> {
    let mut all: BTreeMap<String, Observation> = BTreeMap::new();
    for sandbox in context.runtime.list_sandboxes().await? {
        all.entry(sandbox.pod_uid.clone()).or_default().sandboxes.push(sandbox);
    }
    for container in context.runtime.list_containers(None).await? {
        all.entry(container.pod_uid.clone()).or_default().containers.push(container);
    }
    Ok(all)
}
