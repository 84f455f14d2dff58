//! What follows from the state of a pod that is to end: stop its containers, then its sandbox; once the API wants it gone,
//! forget them, take the volumes away and delete the object.

use std::time::Duration;

use jiff::Timestamp;

use super::advance::wake;
use super::backoff::later;
use super::pod::Machine;
use super::run::Role;
use super::{Action, PodEvent, Step};
use crate::runtime::{ContainerId, SandboxId, SandboxState};

/// What a container that ran out of grace while its hook ran is still given: the kubelet's minimum.
const LAST_MOMENT: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn end(&mut self, now: Timestamp, step: &mut Step) {
        let grace = self.grace();
        let (begun, given) = *self.ending.get_or_insert((now, grace));
        if grace < given {
            self.ending = Some((begun, grace));
        }
        let until = later(begun, grace.min(given));
        if self.stop_containers(until, now, step) || !self.is_quiet() {
            return;
        }
        let live = |state| state == SandboxState::Ready;
        let stop: Vec<SandboxId> =
            self.sandboxes.iter().filter(|sandbox| live(sandbox.state)).map(|sandbox| sandbox.id.clone()).collect();
        if !stop.is_empty() {
            return stop.into_iter().for_each(|id| self.begin(Action::StopSandbox { id }, now, step));
        }
        if self.gone || self.pod.metadata.deletion_timestamp.is_some() {
            self.clean_up(now, step);
        }
    }

    fn clean_up(&mut self, now: Timestamp, step: &mut Step) {
        let rest: Vec<SandboxId> = self.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        if !rest.is_empty() {
            return rest.into_iter().for_each(|id| self.begin(Action::RemoveSandbox { id }, now, step));
        }
        if !self.unmounted {
            return self.begin(Action::Unmount, now, step);
        }
        if self.gone {
            step.finished = self.busy.is_empty();
        } else if !self.deleted {
            self.begin(Action::Delete, now, step);
        }
    }

    /// Stops what runs: main containers first, then sidecars from the last to the first. True while something runs.
    fn stop_containers(&mut self, until: Timestamp, now: Timestamp, step: &mut Step) -> bool {
        let mains = self.slots.iter().any(|slot| slot.role != Role::Sidecar && slot.is_running());
        let mut running = false;
        for index in (0..self.slots.len()).rev() {
            let slot = &self.slots[index];
            let Some(run) = slot.run.as_ref().filter(|_| slot.is_running()) else { continue };
            let waits = slot.role == Role::Sidecar && (mains || running) && now < until;
            running = true;
            if waits {
                wake(step, until);
                continue;
            }
            let (name, id) = (slot.name.clone(), run.id.clone());
            let left = until.duration_since(now).try_into().unwrap_or(Duration::ZERO);
            let wish = self.ending.map_or(left, |(_, given)| given);
            let left = if wish.is_zero() { Duration::ZERO } else { left.max(LAST_MOMENT) };
            self.stop(&name, &id, wish, left, now, step);
        }
        running
    }

    /// Stops a run, or shortens a stop under way when the new wish is shorter. `left` is what remains of the wish.
    pub(super) fn stop(
        &mut self,
        name: &str,
        id: &ContainerId,
        wish: Duration,
        left: Duration,
        now: Timestamp,
        step: &mut Step,
    ) {
        let under_way = self.stopping.get(id).copied();
        if under_way.is_some_and(|before| before <= wish) {
            return;
        }
        // After a failure the next try waits, whatever grace is left by then.
        let of_run = |action: &Action| matches!(action, Action::Stop { id: other, .. } if other == id);
        let failed = self.failed.iter().filter(|(action, _)| of_run(action)).map(|(_, (_, until))| *until).max();
        if let Some(until) = failed.filter(|until| *until > now) {
            return wake(step, until);
        }
        if under_way.is_none() && failed.is_none() {
            self.tell_of_stop(name, id, step);
        }
        let hook = under_way.is_none() && !wish.is_zero();
        let action = Action::Stop { container: name.to_owned(), id: id.clone(), grace: left, hook };
        if self.busy.insert(action.clone()) {
            self.stopping.insert(id.clone(), wish);
            step.actions.push(action);
        }
    }

    fn tell_of_stop(&self, name: &str, id: &ContainerId, step: &mut Step) {
        let Some(slot) = self.slots.iter().find(|slot| slot.name == name) else { return };
        if slot.condemned.as_ref() == Some(id) {
            return;
        }
        let text = format!("Stopping container {name}");
        step.events.push(PodEvent::normal("Killing", text).of_container(slot.role.list(), name));
    }

    /// The grace that the pod's end is given now.
    fn grace(&self) -> Duration {
        let meta = &self.pod.metadata;
        match (&meta.deletion_timestamp, meta.deletion_grace_period_seconds) {
            (Some(_), Some(seconds)) => Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            _ => self.spec().grace(),
        }
    }

    /// Whether nothing is under way that could still start something.
    pub(super) fn is_quiet(&self) -> bool {
        let starts = |action: &Action| {
            matches!(
                action,
                Action::Start { .. } | Action::RunSandbox { .. } | Action::Mount | Action::RemoveContainer { .. }
            )
        };
        !self.busy.iter().any(starts)
    }
}
