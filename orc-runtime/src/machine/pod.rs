//! The machine's state and how inputs change it. What follows from the state is in [`super::advance`] and
//! [`super::ending`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};

use super::backoff::later;
use super::find::{ephemeral_containers, find_container};
use super::probes::Verdict;
use super::resize::{self, Resize};
use super::slot::{Slot, Trouble, pod_policy};
use super::{Action, Failure, Input, MachineConfig, Observation, PodEvent, ProbeKind, Step};
use crate::runtime::{ContainerId, SandboxState, SandboxStatus};

/// The first wait after an action of the pod as a whole failed; it doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest such wait: as the kubelet's for volumes.
const RETRY_LONGEST: Duration = Duration::from_secs(122);
/// How long a container whose configuration does not resolve waits: about the kubelet's pass.
const CONFIG_RETRY: Duration = Duration::from_secs(10);

/// How the pod as a whole ended; once decided, it never runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) phase: &'static str,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

/// One pod on its node.
#[derive(Debug)]
pub struct Machine {
    pub(super) config: MachineConfig,
    /// The pod as the API has it.
    pub(super) pod: Arc<Pod>,
    /// The same with the resources that the node has promised; the same pointer while it asks for no others.
    pub(super) allocated: Arc<Pod>,
    pub(super) resize: Resize,
    pub(super) slots: Vec<Slot>,
    pub(super) sandboxes: Vec<SandboxStatus>,
    /// Whether the runtime has been seen once: nothing is begun before.
    pub(super) observed: bool,
    pub(super) mounted: bool,
    pub(super) gone: bool,
    pub(super) unmounted: bool,
    pub(super) deleted: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) busy: BTreeSet<Action>,
    pub(super) failed: BTreeMap<Action, (u32, Timestamp)>,
    /// When the pod began to end by grace, and how long it was given.
    pub(super) ending: Option<(Timestamp, Duration)>,
    /// The grace each run's stop was given.
    pub(super) stopping: BTreeMap<ContainerId, Duration>,
    /// The status given out last: conditions and times go on from it.
    pub(super) status: Arc<PodStatus>,
}

impl Machine {
    /// A machine for a pod that came to this node, or that is found again after a restart of the agent: the pod's status
    /// is where it goes on. It does nothing before it is told what the runtime shows.
    pub fn new(pod: Arc<Pod>, config: MachineConfig, now: Timestamp) -> Self {
        let policy = pod_policy(&pod);
        let spec = pod.spec.clone().unwrap_or_default();
        let inits = spec.init_containers.iter().flatten().map(|container| Slot::new(container, true, policy));
        let mains = spec.containers.iter().map(|container| Slot::new(container, false, policy));
        let extras = spec.ephemeral_containers.iter().flatten().map(|container| Slot::ephemeral(&container.name));
        let mut slots: Vec<Slot> = inits.chain(mains).chain(extras).collect();
        let status = pod.status.clone().unwrap_or_default();
        for (slot, known) in slots.iter_mut().filter_map(|slot| {
            let lists =
                [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
            let known = lists.into_iter().flatten().flatten().find(|known| known.name == slot.name)?;
            Some((slot, known))
        }) {
            slot.restore(known, now);
        }
        let outcome = match status.phase.as_deref() {
            Some("Failed") => Some("Failed"),
            Some("Succeeded") => Some("Succeeded"),
            _ => None,
        };
        let outcome =
            outcome.map(|phase| Outcome { phase, reason: status.reason.clone(), message: status.message.clone() });
        Self {
            config,
            allocated: resize::restored(&pod, &status),
            resize: Resize::default(),
            pod,
            slots,
            sandboxes: Vec::new(),
            observed: false,
            mounted: false,
            gone: false,
            unmounted: false,
            deleted: false,
            outcome,
            busy: BTreeSet::new(),
            failed: BTreeMap::new(),
            ending: None,
            stopping: BTreeMap::new(),
            status: Arc::new(status),
        }
    }

    /// Takes an input and says what is to be done now.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Step {
        let mut step = Step::default();
        self.take(input, now, &mut step);
        if self.observed {
            self.advance(now, &mut step);
        }
        let status = self.make_status(now);
        if status != *self.status {
            self.status = Arc::new(status);
            step.status = Some(self.status.clone());
        }
        step
    }

    /// The pod as it was last seen, with the resources that the node has promised it.
    #[allow(clippy::misnamed_getters, reason = "what is done for the pod is done by what it is promised")]
    pub fn pod(&self) -> &Arc<Pod> {
        &self.allocated
    }

    /// The status given out last.
    pub fn status(&self) -> &Arc<PodStatus> {
        &self.status
    }

    /// The runs of a container that the runtime holds: the present one, and whether it runs.
    pub fn run_of(&self, container: &str) -> Option<(ContainerId, u32, bool)> {
        let slot = self.slots.iter().find(|slot| slot.name == container)?;
        slot.run.as_ref().map(|run| (run.id.clone(), run.attempt, slot.is_running()))
    }

    /// Whether the pod holds resources of the node: it has not ended.
    pub fn is_active(&self) -> bool {
        self.outcome.is_none() && !self.unmounted
    }

    fn take(&mut self, input: Input, now: Timestamp, step: &mut Step) {
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
            let then = if slot.policy == super::slot::Policy::Never { "" } else { ", will be restarted" };
            let text = format!("Container {name} failed {} probe{then}", kind.as_str().to_lowercase());
            step.events.push(PodEvent::normal("Killing", text).of_container(list, name));
        }
    }

    pub(super) fn spec(&self) -> PodSpecRef<'_> {
        PodSpecRef(self.pod.spec.as_ref())
    }

    /// The sandbox that lives, the newest one.
    pub(super) fn live_sandbox(&self) -> Option<&SandboxStatus> {
        self.sandboxes.last().filter(|sandbox| sandbox.state == SandboxState::Ready)
    }

    pub(super) fn pod_name(&self) -> String {
        let meta = &self.pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}_{}({})", text(&meta.name), text(&meta.namespace), text(&meta.uid))
    }
}

/// The spec of a pod that may have none.
pub(super) struct PodSpecRef<'a>(pub(super) Option<&'a PodSpec>);

impl PodSpecRef<'_> {
    pub(super) fn grace(&self) -> Duration {
        let seconds = self.0.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(1))
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        let seconds = self.0?.active_deadline_seconds?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
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
