//! What follows from the state of a pod that is to run.

use jiff::Timestamp;

use super::backoff::later;
use super::find::find_container;
use super::pod::{Machine, Outcome};
use super::run::{Role, Run, Stage};
use super::slot::Slot;
use super::{Action, PodEvent, Step};
use crate::runtime::{SandboxId, SandboxState};

impl Machine {
    pub(super) fn advance(&mut self, now: Timestamp, step: &mut Step) {
        self.check_deadline(now, step);
        self.check_completion();
        self.look_at_probes(now, step);
        if self.is_ending() {
            self.end(now, step);
        } else {
            self.run(now, step);
        }
    }

    /// Gives out an action unless it is under way or failed a short time ago. Says whether nothing of its kind is left
    /// to wait for.
    pub(super) fn begin(&mut self, action: Action, now: Timestamp, step: &mut Step) {
        if self.busy.contains(&action) {
            return;
        }
        if let Some((_, until)) = self.failed.get(&action)
            && *until > now
        {
            return wake(step, *until);
        }
        self.busy.insert(action.clone());
        step.actions.push(action);
    }

    fn check_deadline(&mut self, now: Timestamp, step: &mut Step) {
        let (Some(limit), Some(start), None) = (self.spec().deadline(), &self.status.start_time, &self.outcome) else {
            return;
        };
        let until = later(start.0, limit);
        if until > now {
            return wake(step, until);
        }
        let message = "Pod was active on the node longer than the specified deadline";
        step.events.push(PodEvent::normal("DeadlineExceeded", message));
        self.outcome = Some(Outcome {
            phase: "Failed",
            reason: Some("DeadlineExceeded".to_owned()),
            message: Some(message.to_owned()),
        });
    }

    /// A pod whose containers all ended for good has ended itself.
    fn check_completion(&mut self) {
        if self.outcome.is_some() || self.is_ending() {
            return;
        }
        let phase = match self.phase(false) {
            "Succeeded" => "Succeeded",
            "Failed" => "Failed",
            _ => return,
        };
        self.outcome = Some(Outcome { phase, reason: None, message: None });
    }

    fn run(&mut self, now: Timestamp, step: &mut Step) {
        if !self.mounted {
            return self.begin(Action::Mount, now, step);
        }
        let Some(sandbox) = self.ensure_sandbox(now, step) else { return };
        // For looking into a pod that hangs in its initialization too.
        self.run_all(Role::Ephemeral, &sandbox, now, step);
        if self.run_inits(&sandbox, now, step) {
            self.run_all(Role::Main, &sandbox, now, step);
        }
    }

    fn run_all(&mut self, role: Role, sandbox: &SandboxId, now: Timestamp, step: &mut Step) {
        for index in 0..self.slots.len() {
            if self.slots[index].role == role {
                self.run_slot(index, sandbox, now, step);
            }
        }
    }

    /// The sandbox that lives; otherwise what is needed to get one.
    fn ensure_sandbox(&mut self, now: Timestamp, step: &mut Step) -> Option<SandboxId> {
        if let Some(live) = self.live_sandbox() {
            let (id, attempt) = (live.id.clone(), live.attempt);
            // The one before keeps the logs of the runs before.
            let old: Vec<SandboxId> =
                self.sandboxes.iter().filter(|other| other.attempt + 1 < attempt).map(|old| old.id.clone()).collect();
            for id in old {
                self.begin(Action::RemoveSandbox { id }, now, step);
            }
            return Some(id);
        }
        if self.busy.iter().any(|action| matches!(action, Action::RunSandbox { .. } | Action::Start { .. })) {
            return None;
        }
        let attempt = self.sandboxes.last().map_or(0, |last| last.attempt + 1);
        let lived = self.slots.iter().find_map(|slot| slot.run.as_ref()).is_some();
        if let Some(dead) = self.sandboxes.last().filter(|_| !self.failed.contains_key(&Action::RunSandbox { attempt }))
        {
            let dead = dead.id.clone();
            if lived && !self.busy.contains(&Action::RunSandbox { attempt }) {
                let text = "Pod sandbox changed, it will be killed and re-created.";
                step.events.push(PodEvent::normal("SandboxChanged", text));
            }
            // Frees what the dead one still holds; needs no waiting for.
            self.begin(Action::StopSandbox { id: dead }, now, step);
        }
        self.begin(Action::RunSandbox { attempt }, now, step);
        None
    }

    /// Runs the init containers in order; true when the others may run.
    fn run_inits(&mut self, sandbox: &SandboxId, now: Timestamp, step: &mut Step) -> bool {
        let passed = self.inits_are_done(sandbox);
        for index in 0..self.slots.len() {
            match self.slots[index].role {
                Role::Main | Role::Ephemeral => break,
                Role::Sidecar => {
                    self.run_slot(index, sandbox, now, step);
                    if !passed && !self.has_started(index) {
                        return false;
                    }
                }
                Role::Init if passed || self.init_is_done(index, sandbox) => {}
                Role::Init => {
                    self.run_slot(index, sandbox, now, step);
                    return false;
                }
            }
        }
        true
    }

    /// Once a main container was made in this sandbox, the init containers are done, even if their records are gone.
    fn inits_are_done(&self, sandbox: &SandboxId) -> bool {
        let made = |slot: &Slot| slot.run.as_ref().is_some_and(|run| run.sandbox.as_ref() == Some(sandbox));
        self.slots.iter().any(|slot| slot.role == Role::Main && made(slot))
    }

    fn init_is_done(&self, index: usize, sandbox: &SandboxId) -> bool {
        let slot = &self.slots[index];
        let here = slot.run.as_ref().is_some_and(|run| run.sandbox.as_ref() == Some(sandbox));
        slot.succeeded() && here
    }

    pub(super) fn has_started(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        let (Some(run), Some(spec)) = (&slot.run, find_container(&self.pod, &slot.name)) else { return false };
        slot.is_running() && slot.probes.has_started(&run.id, spec)
    }

    fn run_slot(&mut self, index: usize, sandbox: &SandboxId, now: Timestamp, step: &mut Step) {
        if self.is_starting(index) {
            return;
        }
        let slot = &self.slots[index];
        if slot.is_running() {
            // One that runs in a sandbox that died goes with it; the runtime will say so.
            self.condemn_changed(index, step);
            self.resize(index, now, step);
            return self.stop_condemned(index, now, step);
        }
        let here = slot.run.as_ref().is_some_and(|run| run.sandbox.as_ref() == Some(sandbox));
        let again = slot.restarts_after_end() || (slot.role == Role::Init && !here && slot.succeeded());
        if slot.end().is_some() && !again {
            return;
        }
        if let Some(trouble) = &slot.trouble
            && trouble.until > now
            && trouble.reason != "RunContainerError"
        {
            wake(step, trouble.until);
            return self.tell_of_pull_backoff(index, step);
        }
        if let Some(at) = slot.restart_at().filter(|at| *at > now) {
            wake(step, at);
            return self.tell_of_crash_loop(index, step);
        }
        self.start(index, sandbox, now, step);
    }

    fn start(&mut self, index: usize, sandbox: &SandboxId, now: Timestamp, step: &mut Step) {
        let slot = &mut self.slots[index];
        let attempt = slot.next_attempt();
        // A second try of the same attempt is no restart.
        let retry = slot.trouble.as_ref().is_some_and(|trouble| trouble.reason != "RunContainerError");
        if let Some(ended) = slot.finished_at().filter(|_| !retry) {
            slot.restarts.retry(ended, now);
        }
        // The run before the new one keeps its log; those before that go.
        let older = slot.older.clone();
        let container = slot.name.clone();
        for id in older {
            self.begin(Action::RemoveContainer { id }, now, step);
        }
        let action = Action::Start { container, attempt, sandbox: sandbox.clone() };
        self.begin(action.clone(), now, step);
        if step.actions.contains(&action) {
            let slot = &mut self.slots[index];
            let spec = find_container(&self.allocated, &slot.name);
            slot.actual = spec.map(|spec| spec.resources.clone().unwrap_or_default());
            slot.resizing = None;
        }
    }

    pub(super) fn is_starting(&self, index: usize) -> bool {
        let name = &self.slots[index].name;
        self.busy.iter().any(|action| matches!(action, Action::Start { container, .. } if container == name))
    }

    fn look_at_probes(&mut self, now: Timestamp, step: &mut Step) {
        let ending = self.is_ending();
        let pod = self.pod.clone();
        let mut due = Vec::new();
        for slot in &mut self.slots {
            let Some(Run { id, stage: Stage::Running { since }, .. }) = &slot.run else { continue };
            let Some(spec) = find_container(&pod, &slot.name).filter(|_| slot.role != Role::Init) else { continue };
            slot.probes.follow(id);
            let (kinds, next) = slot.probes.due(spec, *since, ending, now);
            if let Some(next) = next {
                wake(step, next);
            }
            due.extend(kinds.into_iter().map(|kind| Action::Probe {
                container: slot.name.clone(),
                id: id.clone(),
                kind,
            }));
        }
        for probe in due {
            self.begin(probe, now, step);
        }
    }

    /// Whether nothing of the pod may be begun any more.
    pub(super) fn is_ending(&self) -> bool {
        self.gone || self.outcome.is_some() || self.pod.metadata.deletion_timestamp.is_some()
    }

    /// Whether any sandbox still lives.
    pub(super) fn has_live_sandbox(&self) -> bool {
        self.sandboxes.iter().any(|sandbox| sandbox.state == SandboxState::Ready)
    }
}

/// Asks to be woken at the latest then.
pub(super) fn wake(step: &mut Step, at: Timestamp) {
    step.wake = Some(step.wake.map_or(at, |wake| wake.min(at)));
}
