//! How inputs change the machine's state: another spec, what the runtime shows, results of actions and of probes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::backoff::later;
use super::find::{ephemeral_containers, find_container};
use super::pod::{Machine, Outcome};
use super::probes::Verdict;
use super::run::Policy;
use super::slot::{Slot, Trouble};
use super::{Action, Failure, Input, Observation, PodEvent, ProbeKind, Step};
use crate::runtime::ContainerId;

/// The first wait after an action of the pod as a whole failed; it doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest such wait: as the kubelet's for volumes.
const RETRY_LONGEST: Duration = Duration::from_secs(122);
/// How long a container whose configuration does not resolve waits: about the kubelet's pass.
const CONFIG_RETRY: Duration = Duration::from_secs(10);

impl Machine {
    /// Lets an input into the state.
    pub(super) fn take(&mut self, input: Input, now: Timestamp, step: &mut Step) {
        match input {
            Input::Spec(pod) => self.take_spec(pod),
            Input::Gone => self.gone = true,
            Input::Reject(reason, message) => {
                // A pod that already has a sandbox was let in before.
                if self.outcome.is_none() && self.sandboxes.is_empty() {
                    step.events.push(PodEvent::warning(reason_of_rejection(&reason), message.clone()));
                    let message = Some(format!("Pod was rejected: {message}"));
                    self.outcome = Some(Outcome { phase: "Failed", reason: Some(reason), message });
                }
            }
            Input::Room(room) => self.take_room(room, step),
            Input::Observed(seen) => self.observe(seen, now),
            Input::Done(action, result, seen) => {
                self.busy.remove(&action);
                if let Some(seen) = seen {
                    self.observe(seen, now);
                }
                self.done(action, result, now, step);
            }
            Input::Probed { container, id, kind, success, message } => {
                self.busy.remove(&Action::Probe { container: container.clone(), id: id.clone(), kind });
                self.probed(&container, &id, kind, success, &message, step);
            }
            Input::Tick => {}
        }
    }

    fn take_spec(&mut self, pod: Arc<Pod>) {
        self.pod = pod.clone();
        self.keep_allocated();
        // Ephemeral containers come at any time; the API lets none go.
        for container in ephemeral_containers(&pod) {
            if self.slots.iter().all(|slot| slot.name != container.name) {
                self.slots.push(Slot::ephemeral(&container.name));
            }
        }
        // Somebody else may end a pod (eviction, a lost node): it is ended here then.
        let status = self.pod.status.as_ref();
        let phase = match status.and_then(|status| status.phase.as_deref()) {
            Some("Failed") => "Failed",
            Some("Succeeded") => "Succeeded",
            _ => return,
        };
        if self.outcome.is_none() && !self.is_ending() {
            let reason = status.and_then(|status| status.reason.clone());
            let message = status.and_then(|status| status.message.clone());
            self.outcome = Some(Outcome { phase, reason, message });
        }
    }

    fn observe(&mut self, seen: Observation, now: Timestamp) {
        self.observed = true;
        self.sandboxes = seen.sandboxes;
        self.sandboxes.sort_by_key(|sandbox| sandbox.attempt);
        for slot in &mut self.slots {
            let own: Vec<_> = seen.containers.iter().filter(|status| status.name == slot.name).collect();
            slot.observe(&own, now);
        }
        let alive: BTreeSet<&ContainerId> = seen.containers.iter().map(|status| &status.id).collect();
        self.stopping.retain(|id, _| alive.contains(id));
    }

    fn done(&mut self, action: Action, result: Result<(), Failure>, now: Timestamp, step: &mut Step) {
        let result = match &action {
            Action::Stop { id, container, .. } => {
                self.stopping.remove(id);
                let runs = self.run_of(container).is_some_and(|(run, _, running)| running && run == *id);
                if runs { result.and(Err(Failure::new("FailedKillPod", "the container still runs"))) } else { Ok(()) }
            }
            _ => result,
        };
        if let Action::Resize { container, .. } = &action {
            self.resized(container, &result, step);
        }
        let failure = match result {
            Ok(()) => {
                self.forget_failures(&action);
                match action {
                    Action::Mount => self.mounted = true,
                    Action::Unmount => self.unmounted = true,
                    Action::Delete => self.deleted = true,
                    _ => {}
                }
                return;
            }
            Err(failure) => failure,
        };
        match &action {
            Action::Start { container, .. } => return self.start_failed(&container.clone(), failure, now, step),
            Action::Mount => step.events.push(PodEvent::warning("FailedMount", failure.message)),
            Action::RunSandbox { .. } => {
                let message = format!("Failed to create pod sandbox: {}", failure.message);
                step.events.push(PodEvent::warning("FailedCreatePodSandBox", message));
            }
            Action::StopSandbox { .. } | Action::RemoveSandbox { .. } | Action::Unmount => {
                step.events.push(PodEvent::warning("FailedKillPod", format!("error killing pod: {}", failure.message)));
            }
            _ => {}
        }
        let count = self.failed.get(&action).map_or(0, |(count, _)| *count);
        let wait = RETRY_FIRST.saturating_mul(1 << count.min(8)).min(RETRY_LONGEST);
        self.failed.insert(action, (count + 1, later(now, wait)));
    }

    fn forget_failures(&mut self, done: &Action) {
        match done {
            // Stops of one run differ by their grace.
            Action::Stop { id: ended, .. } => {
                self.failed.retain(|action, _| !matches!(action, Action::Stop { id, .. } if id == ended));
            }
            _ => drop(self.failed.remove(done)),
        }
    }

    fn start_failed(&mut self, name: &str, failure: Failure, now: Timestamp, step: &mut Step) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == name) else { return };
        let image = matches!(
            failure.reason.as_str(),
            "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" | "RegistryUnavailable"
        );
        let list = slot.role.list();
        let error = PodEvent::warning("Failed", format!("Error: {}", failure.reason)).of_container(list, name);
        let until = if image {
            slot.pulls.retry(now, now);
            slot.pulls.ready_at(now)
        } else {
            later(now, CONFIG_RETRY)
        };
        match failure.reason.as_str() {
            // The driver has told of it in its own words.
            "PostStartHookError" => return,
            _ if image => step.events.push(error),
            _ => {
                let text = format!("Error: {}", failure.message);
                step.events.push(PodEvent::warning("Failed", text).of_container(list, name));
            }
        }
        // A program that could not be executed is an ended run: the restart back-off counts, not this one.
        let reason = if failure.reason == "StartError" { "RunContainerError".to_owned() } else { failure.reason };
        slot.trouble = Some(Trouble { reason, message: failure.message, until, image });
    }

    fn probed(&mut self, name: &str, id: &ContainerId, kind: ProbeKind, ok: bool, said: &str, step: &mut Step) {
        let pod = self.pod.clone();
        let Some(spec) = find_container(&pod, name) else { return };
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == name) else { return };
        if slot.run.as_ref().is_none_or(|run| run.id != *id) || !slot.is_running() {
            return;
        }
        let list = slot.role.list();
        let verdict = slot.probes.answer(spec, kind, ok);
        if ok && !said.is_empty() {
            let text = format!("{} probe warning: {said}", kind.as_str());
            step.events.push(PodEvent::warning("ProbeWarning", text).of_container(list, name));
        }
        if verdict != Verdict::Fine {
            let text = format!("{} probe failed: {said}", kind.as_str());
            step.events.push(PodEvent::warning("Unhealthy", text).of_container(list, name));
        }
        if verdict == Verdict::Condemned && slot.condemned.as_ref() != Some(id) {
            slot.condemned = Some(id.clone());
            slot.condemned_by = Some(kind);
            let then = if slot.policy == Policy::Never { "" } else { ", will be restarted" };
            let text = format!("Container {name} failed {} probe{then}", kind.as_str().to_lowercase());
            step.events.push(PodEvent::normal("Killing", text).of_container(list, name));
        }
    }
}

/// Event reasons are fixed words; the rejections that the node knows.
fn reason_of_rejection(reason: &str) -> &'static str {
    match reason {
        "OutOfcpu" => "OutOfcpu",
        "OutOfmemory" => "OutOfmemory",
        "OutOfpods" => "OutOfpods",
        "NodeAffinity" => "NodeAffinity",
        "NodePorts" => "NodePorts",
        "Taint" => "Taint",
        _ => "FailedAdmission",
    }
}
