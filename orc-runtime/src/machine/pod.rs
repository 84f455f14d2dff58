//! The machine's state. How inputs change it is in [`super::input`], what follows from it in [`super::advance`] and
//! [`super::ending`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};

use super::resize::{self, Resize};
use super::run::pod_policy;
use super::slot::Slot;
use super::{Action, Input, MachineConfig, Step};
use crate::runtime::{ContainerId, SandboxState, SandboxStatus};

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
