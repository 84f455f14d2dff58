//! One container of the pod: its runs, its restart policy, and what stands in its way.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, Container, ContainerStateTerminated, ResourceRequirements};

use super::ProbeKind;
use super::backoff::Backoff;
use super::probes::Probes;
use super::run::{Policy, Role, Run, Stage, end_of, lost, policy};
use crate::runtime::{ContainerId, ContainerState, ContainerStatus};

/// Why a container waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: String,
    pub(super) message: String,
    /// When to try again.
    pub(super) until: Timestamp,
    /// Whether its image is the trouble.
    pub(super) image: bool,
}

/// A container of the pod.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) policy: Policy,
    pub(super) run: Option<Run>,
    /// Runs before that one which the runtime still holds.
    pub(super) older: Vec<ContainerId>,
    /// How the run before the present one ended.
    pub(super) last_end: Option<ContainerStateTerminated>,
    pub(super) trouble: Option<Trouble>,
    pub(super) restarts: Backoff,
    pub(super) pulls: Backoff,
    pub(super) probes: Probes,
    /// The run whose back-off has been told of.
    pub(super) told: Option<ContainerId>,
    /// The run that a failed probe or a changed spec condemned.
    pub(super) condemned: Option<ContainerId>,
    /// The probe that condemned it.
    pub(super) condemned_by: Option<ProbeKind>,
    /// The resources that the present run has; `None` before the first.
    pub(super) actual: Option<ResourceRequirements>,
    /// Those that it is being given.
    pub(super) resizing: Option<ResourceRequirements>,
}

impl Slot {
    pub(super) fn new(container: &Container, init: bool, pod_policy: Policy) -> Self {
        let own = container.restart_policy.as_deref().map(policy);
        let role = match (init, own) {
            (true, Some(Policy::Always)) => Role::Sidecar,
            (true, _) => Role::Init,
            (false, _) => Role::Main,
        };
        let policy = own.unwrap_or(match (role, pod_policy) {
            (Role::Init, Policy::Always) => Policy::OnFailure,
            (_, policy) => policy,
        });
        Self::of(&container.name, role, policy)
    }

    /// An ephemeral container: never run a second time (KEP-277).
    pub(super) fn ephemeral(name: &str) -> Self {
        Self::of(name, Role::Ephemeral, Policy::Never)
    }

    fn of(name: &str, role: Role, policy: Policy) -> Self {
        Self {
            name: name.to_owned(),
            role,
            policy,
            run: None,
            older: Vec::new(),
            last_end: None,
            trouble: None,
            restarts: Backoff::default(),
            pulls: Backoff::default(),
            probes: Probes::default(),
            told: None,
            condemned: None,
            condemned_by: None,
            actual: None,
            resizing: None,
        }
    }

    /// Takes up what the API remembers of the container.
    pub(super) fn restore(&mut self, status: &core::ContainerStatus, now: Timestamp) {
        self.actual.clone_from(&status.resources);
        let attempt = u32::try_from(status.restart_count).unwrap_or_default();
        let state = status.state.as_ref();
        let ended = state.and_then(|state| state.terminated.clone());
        let last = status.last_state.as_ref().and_then(|state| state.terminated.clone());
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let id =
            status.container_id.as_deref().map(|id| ContainerId::new(id.split_once("://").map_or(id, |(_, id)| id)));
        if waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff")) {
            self.restarts = Backoff::after(attempt, now);
        }
        let Some(id) = id.filter(|id| !id.as_str().is_empty()) else {
            self.last_end = last;
            return;
        };
        let running = state.and_then(|state| state.running.as_ref());
        let stage = match (running, ended, &last) {
            (Some(running), _, _) => Stage::Running { since: running.started_at.as_ref().map_or(now, |at| at.0) },
            (None, Some(ended), _) => Stage::Exited(ended),
            (None, None, Some(last)) => Stage::Exited(last.clone()),
            (None, None, None) => Stage::Exited(lost(&id, None, now)),
        };
        if state.is_some_and(|state| state.waiting.is_none()) {
            self.last_end = last;
        }
        self.probes.adopt(&id, status.started.unwrap_or(false), status.ready);
        self.run = Some(Run { id, attempt, sandbox: None, image: String::new(), stage });
    }

    /// Takes in what the runtime shows of this container: all its attempts, in any order.
    pub(super) fn observe(&mut self, seen: &[&ContainerStatus], now: Timestamp) {
        let newest = seen.iter().max_by_key(|status| status.attempt);
        let known = self.run.as_ref().map(|run| run.attempt);
        let last = newest.map_or(0, |newest| newest.attempt);
        self.older = seen.iter().filter(|status| status.attempt < last).map(|status| status.id.clone()).collect();
        match newest {
            Some(status) if known.is_none_or(|known| status.attempt >= known) => {
                if known.is_some_and(|known| status.attempt > known) {
                    self.last_end = self.run.take().map(|run| run.into_end(now));
                }
                if let Some(before) = seen.iter().find(|other| other.attempt + 1 == status.attempt)
                    && before.state == ContainerState::Exited
                {
                    self.last_end = Some(end_of(before));
                }
                self.take(status);
            }
            _ => self.lose(now),
        }
    }

    fn take(&mut self, status: &ContainerStatus) {
        let stage = match status.state {
            ContainerState::Created => Stage::Created,
            ContainerState::Running => Stage::Running { since: status.started_at.unwrap_or(status.created_at) },
            ContainerState::Exited => Stage::Exited(end_of(status)),
            // The runtime cannot tell right now: what was known stays.
            ContainerState::Unknown => match self.run.take() {
                Some(run) if run.id == status.id => run.stage,
                _ => Stage::Running { since: status.started_at.unwrap_or(status.created_at) },
            },
        };
        // What stood in the way of this run did not; what stands in the way of the next one is not told by this one's end.
        let new = self.run.as_ref().is_none_or(|run| run.id != status.id || matches!(run.stage, Stage::Created));
        if new && !matches!(stage, Stage::Created) {
            self.trouble = None;
        }
        self.run = Some(Run {
            id: status.id.clone(),
            attempt: status.attempt,
            sandbox: Some(status.sandbox_id.clone()),
            image: status.image.clone(),
            stage,
        });
    }

    /// The runtime does not show the run that is remembered.
    fn lose(&mut self, now: Timestamp) {
        let Some(run) = &mut self.run else { return };
        let since = match run.stage {
            Stage::Exited(_) => return,
            Stage::Running { since } => Some(since),
            Stage::Created => None,
        };
        run.stage = Stage::Exited(lost(&run.id, since, now));
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(&self.run, Some(Run { stage: Stage::Running { .. }, .. }))
    }

    pub(super) fn end(&self) -> Option<&ContainerStateTerminated> {
        match &self.run {
            Some(Run { stage: Stage::Exited(end), .. }) => Some(end),
            _ => None,
        }
    }

    pub(super) fn succeeded(&self) -> bool {
        self.end().is_some_and(|end| end.exit_code == 0)
    }

    /// Whether a run that ended is followed by another one.
    pub(super) fn restarts_after_end(&self) -> bool {
        match (self.policy, self.end()) {
            (_, None) | (Policy::Never, _) => false,
            (Policy::Always, _) => true,
            // What the node stopped has not done its work, whatever it says.
            (Policy::OnFailure, Some(end)) => {
                end.exit_code != 0
                    || self.condemned.is_some() && self.condemned.as_ref() == self.run.as_ref().map(|run| &run.id)
            }
        }
    }

    /// The attempt that the next start has.
    pub(super) fn next_attempt(&self) -> u32 {
        match &self.run {
            None => 0,
            Some(Run { stage: Stage::Created, attempt, .. }) => *attempt,
            Some(run) => run.attempt + 1,
        }
    }

    pub(super) fn finished_at(&self) -> Option<Timestamp> {
        self.end().and_then(|end| end.finished_at.as_ref()).map(|at| at.0)
    }

    /// When a run that ended may be followed by the next one.
    pub(super) fn restart_at(&self) -> Option<Timestamp> {
        Some(self.restarts.ready_at(self.finished_at()?))
    }
}
