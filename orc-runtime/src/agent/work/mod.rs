//! The loop of the agent: news from the API, from the runtime, from futures and from the clock go into the machines; what
//! the machines ask for becomes futures.
//!
//! `take_over` finds what an agent before left, `pods` follows the pods that the node is to run, `watch` what the runtime
//! shows of them, `write` brings their status to the API.

mod pods;
mod take_over;
mod watch;
mod worker;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use orc_core::{ApiError, ObjectKey};
use orc_reconcile::CancellationToken;

use super::context::{Context, View};
use super::feed::{NodePods, PodFeed};
use super::{act, statics, volumes};
use crate::machine::{Action, Failure, Input, MachineConfig, Observation, Step};
use crate::runtime::RuntimeError;
use take_over::{Found, Taken};
use worker::Worker;
use write::Writes;

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
    /// All that the runtime holds.
    Found(Found),
    /// Nothing to do with any pod.
    Nothing,
}

struct Work {
    context: Arc<Context>,
    pods: NodePods,
    machine: MachineConfig,
    workers: BTreeMap<String, Worker>,
    newest: BTreeMap<ObjectKey, String>,
    timers: BTreeSet<(Timestamp, String)>,
    /// The pods that ask for a resize and have not been promised it.
    asking: BTreeSet<String>,
    beside: FuturesUnordered<Beside>,
    writes: Writes,
    /// How far the pods of an agent before this one are taken over.
    taken: Taken,
}

/// Runs the pods of a node until `stop`.
pub(super) async fn run(context: Arc<Context>, feed: &Arc<PodFeed>, stop: CancellationToken) {
    let pods = feed.join(&context.config.node_name, context.statics.clone());
    let mut events = context.runtime.events();
    let machine = machine_config(&context).await;
    let mut work = Work {
        pods,
        machine,
        workers: BTreeMap::new(),
        newest: BTreeMap::new(),
        timers: BTreeSet::new(),
        asking: BTreeSet::new(),
        beside: FuturesUnordered::new(),
        writes: Writes::default(),
        taken: Taken::Nothing,
        context,
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = work.take_statics() => {}
    }
    let watch = || work.context.env.spawn.spawn(statics::watch(work.context.clone(), work.pods.dirty()));
    let _watch = work.context.statics.is_used().then(watch);
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
            () = work.pods.synced(), if work.taken == Taken::Nothing => work.take_the_rest(),
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
            Finished::Found(found) => self.found(found),
            Finished::Nothing => {}
        }
        self.consider_resizes();
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
        if worker.machine.wants_resize().is_some() {
            self.asking.insert(uid.to_owned());
        } else {
            self.asking.remove(uid);
        }
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
            if action == Action::Delete {
                // It writes the status itself; two at a time would be in each other's way.
                worker.pending = None;
            }
            let order = act::Order { uid: uid.to_owned(), pod: pod.clone(), status, ids: ids.clone(), action };
            self.beside.push(act::act(self.context.clone(), order).boxed());
        }
        self.write_status(uid);
        if finished {
            self.forget(uid);
        }
    }
}
