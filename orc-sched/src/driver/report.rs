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
}

impl Report {
    /// The pod was bound to a node.
    pub(super) fn scheduled(pod: Arc<PodInfo>, node: Name) -> Self {
        let text = format!("Successfully assigned {}/{} to {node}", pod.key.namespace_str(), pod.key.name);
        Self { pod, condition: None, event: Some((Kind::Scheduled, text)) }
    }

    /// The pod fits nowhere.
    pub(super) fn unschedulable(pod: Arc<PodInfo>, message: String) -> Self {
        Self { pod, condition: Some(("Unschedulable", message.clone())), event: Some((Kind::Failed, message)) }
    }

    /// Something else went wrong.
    pub(super) fn failed(pod: Arc<PodInfo>, message: String) -> Self {
        Self { pod, condition: Some(("SchedulerError", message.clone())), event: Some((Kind::Failed, message)) }
    }

    /// The pod has scheduling gates.
    pub(super) fn gated(pod: Arc<PodInfo>) -> Self {
        let text = "Scheduling is blocked due to non-empty scheduling gates".to_owned();
        Self { pod, condition: Some(("SchedulingGated", text)), event: None }
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
                if let Some((reason, message)) = report.condition {
                    writes.push(Box::pin(write_condition(client.clone(), clock.now(), report.pod, reason, message)));
                }
                writes.extend(event);
            }
        }
    }
}

async fn write_condition(
    client: Arc<dyn ObjectClient>,
    now: Timestamp,
    pod: Arc<PodInfo>,
    reason: &'static str,
    message: String,
) {
    if pod
        .waiting
        .as_ref()
        .is_some_and(|(had, text)| *had == *reason && (*text == *message || reason == "SchedulingGated"))
    {
        return;
    }
    let api: Api<Pod> = Api::namespaced(client, pod.key.namespace_str());
    let written = api
        .modify_status(&pod.key.name, |now_there| {
            let same = now_there.metadata.uid.as_deref() == Some(&*pod.uid);
            let unassigned =
                now_there.spec.as_ref().is_none_or(|spec| spec.node_name.as_deref().unwrap_or_default().is_empty());
            if same && unassigned {
                set_condition(now_there, now, reason, &message);
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
