//! Tells users: conditions of pods, and events. Best effort and bounded; the scheduler never waits for it.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use orc_core::Name;
use orc_core::env::{Clock, Task};
use orc_store::{Api, Env, ObjectClient};
use tokio::sync::mpsc;

use super::events::{EventWriter, Kind};
use super::status::StatusReader;
use crate::pod::PodInfo;

/// Reports that may wait; more are dropped and counted. What is dropped is told again at the pod's next attempt.
const WAITING: usize = 4096;
/// Writes under way at a time.
const WRITES: usize = 8;

/// The condition of a pod that has no node.
const SCHEDULED: &str = "PodScheduled";

/// What is to be told of a pod.
pub(super) struct Report {
    pod: Arc<PodInfo>,
    /// Reason and message of `PodScheduled=False`.
    condition: Option<(&'static str, String)>,
    event: Option<(Kind, String)>,
    /// What `status.nominatedNodeName` becomes.
    nominated: Nomination,
}

/// What becomes of a pod's nominated node.
#[derive(Clone, PartialEq, Eq)]
enum Nomination {
    Keep,
    Clear,
    Set(Name),
}

impl Report {
    /// The pod was bound to a node.
    pub(super) fn scheduled(pod: Arc<PodInfo>, node: Name) -> Self {
        let text = format!("Successfully assigned {}/{} to {node}", pod.key.namespace_str(), pod.key.name);
        Self { pod, condition: None, event: Some((Kind::Scheduled, text)), nominated: Nomination::Keep }
    }

    /// The pod fits nowhere.
    pub(super) fn unschedulable(pod: Arc<PodInfo>, message: String, nominated: Option<Name>) -> Self {
        Self {
            pod,
            condition: Some(("Unschedulable", message.clone())),
            event: Some((Kind::Failed, message)),
            nominated: nominated.map_or(Nomination::Keep, Nomination::Set),
        }
    }

    /// The room that was kept for the pod goes to a more important one.
    pub(super) fn displaced(pod: Arc<PodInfo>) -> Self {
        Self { pod, condition: None, event: None, nominated: Nomination::Clear }
    }

    /// Something else went wrong.
    pub(super) fn failed(pod: Arc<PodInfo>, message: String) -> Self {
        Self {
            pod,
            condition: Some(("SchedulerError", message.clone())),
            event: Some((Kind::Failed, message)),
            nominated: Nomination::Keep,
        }
    }

    /// The pod is held back before the queue.
    pub(super) fn gated(pod: Arc<PodInfo>, why: String) -> Self {
        Self { pod, condition: Some(("SchedulingGated", why)), event: None, nominated: Nomination::Keep }
    }
}

/// The way to the task that writes.
pub(super) struct Reporter {
    reports: mpsc::Sender<Report>,
    status: StatusReader,
    _task: Task,
}

impl Reporter {
    pub(super) fn start(env: &Env, events: bool, status: StatusReader) -> Self {
        let (reports, waiting) = mpsc::channel(WAITING);
        let writer = events.then(|| EventWriter::new(env));
        let task = env.spawn.spawn(write_all(env.client.clone(), env.clock.clone(), writer, waiting));
        Self { reports, status, _task: task }
    }

    pub(super) fn tell(&self, report: Report) {
        if self.reports.try_send(report).is_err() {
            self.status.0.lock().dropped_reports += 1;
        }
    }
}

async fn write_all(
    client: Arc<dyn ObjectClient>,
    clock: Clock,
    mut events: Option<EventWriter>,
    mut waiting: mpsc::Receiver<Report>,
) {
    let mut writes: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = writes.next() => {}
            report = waiting.recv(), if writes.len() < WRITES => {
                let Some(report) = report else { return };
                let event = report.event.zip(events.as_mut()).map(|((kind, text), events)| events.event(&report.pod, kind, text));
                if report.condition.is_some() || report.nominated != Nomination::Keep {
                    let (pod, condition) = (report.pod, report.condition);
                    writes.push(Box::pin(write_status(client.clone(), clock.now(), pod, condition, report.nominated)));
                }
                writes.extend(event);
            }
        }
    }
}

async fn write_status(
    client: Arc<dyn ObjectClient>,
    now: Timestamp,
    pod: Arc<PodInfo>,
    condition: Option<(&'static str, String)>,
    nominated: Nomination,
) {
    let known = |(reason, message): &(&str, String)| {
        let had = pod.waiting.as_ref();
        had.is_some_and(|(had, text)| *had == **reason && (**text == **message || *reason == "SchedulingGated"))
    };
    if nominated == Nomination::Keep && condition.as_ref().is_none_or(known) {
        return;
    }
    let api: Api<Pod> = Api::namespaced(client, pod.key.namespace_str());
    let written = api
        .modify_status(&pod.key.name, |now_there| {
            let same = now_there.metadata.uid.as_deref() == Some(&*pod.uid);
            let unassigned =
                now_there.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty());
            if !same || !unassigned {
                return;
            }
            if let Some((reason, message)) = &condition {
                set_condition(now_there, now, reason, message);
            }
            match &nominated {
                Nomination::Keep => {}
                Nomination::Clear => now_there.status.get_or_insert_default().nominated_node_name = None,
                Nomination::Set(node) => {
                    now_there.status.get_or_insert_default().nominated_node_name = Some(node.to_string());
                }
            }
        })
        .await;
    if let Err(error) = written {
        tracing::debug!(pod = %pod.key, %error, "the condition was not written");
    }
}

fn set_condition(pod: &mut Pod, now: Timestamp, reason: &str, message: &str) {
    let generation = pod.metadata.generation;
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    let found = conditions.iter().position(|condition| condition.type_ == SCHEDULED);
    let at = found.unwrap_or_else(|| {
        conditions.push(PodCondition { type_: SCHEDULED.to_owned(), ..PodCondition::default() });
        conditions.len() - 1
    });
    let condition = &mut conditions[at];
    if condition.status != "False" {
        "False".clone_into(&mut condition.status);
        condition.last_transition_time = Some(Time(now));
    }
    condition.reason = Some(reason.to_owned());
    condition.message = Some(message.to_owned());
    condition.observed_generation = generation;
}
