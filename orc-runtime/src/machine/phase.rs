//! The phase of a pod from its containers, as the kubelet's `getPhase` decides it.

use super::pod::Machine;
use super::run::{Policy, Role, Stage};
use super::slot::Slot;

impl Machine {
    /// The phase; `ended` says that nothing of the pod will run again.
    pub(super) fn phase(&self, ended: bool) -> &'static str {
        if let Some(outcome) = &self.outcome {
            return outcome.phase;
        }
        let inits = self.slots.iter().filter(|slot| slot.role == Role::Init);
        let initialized = self.has_initialized();
        if !initialized && inits.clone().any(failed_for_good) {
            return "Failed";
        }
        let mains: Vec<&Slot> = self.slots.iter().filter(|slot| slot.role == Role::Main).collect();
        let running = mains.iter().filter(|slot| slot.is_running()).count();
        // A container that waits after an end counts as ended.
        let ended_once = |slot: &&&Slot| slot.end().is_some() || (!slot.is_running() && slot.last_end.is_some());
        let stopped: Vec<&&Slot> = mains.iter().filter(ended_once).collect();
        if ended {
            // While things are under way the pod is where it was.
            if running > 0 || self.has_live_sandbox() || !self.is_quiet() {
                return if self.status.phase.as_deref() == Some("Running") { "Running" } else { "Pending" };
            }
            let all = !stopped.is_empty() && stopped.len() == mains.len();
            return match all && stopped.iter().all(|slot| slot.succeeded()) {
                true => "Succeeded",
                false => "Failed",
            };
        }
        if !initialized || running + stopped.len() < mains.len() || mains.is_empty() {
            return "Pending";
        }
        if running > 0 || mains.iter().any(|slot| slot.end().is_none() || slot.restarts_after_end()) {
            return "Running";
        }
        if stopped.iter().all(|slot| slot.succeeded()) { "Succeeded" } else { "Failed" }
    }

    /// Whether the init containers are behind the pod.
    pub(super) fn has_initialized(&self) -> bool {
        self.incomplete_inits().is_empty()
    }

    /// The init containers that are not done.
    pub(super) fn incomplete_inits(&self) -> Vec<&str> {
        // After a main container was made, a sidecar that is being restarted does not undo the initialization.
        let begun = |slot: &Slot| {
            let known = slot.run.as_ref().is_some_and(|run| !matches!(run.stage, Stage::Created));
            slot.role == Role::Main && (known || slot.last_end.is_some())
        };
        if self.slots.iter().any(begun) && self.live_sandbox().is_none_or(|live| self.was_initialized_in(&live.id)) {
            return Vec::new();
        }
        let open = self.slots.iter().enumerate().filter(|(index, slot)| match slot.role {
            Role::Main | Role::Ephemeral => false,
            Role::Init => !slot.succeeded(),
            Role::Sidecar => !self.has_started(*index),
        });
        open.map(|(_, slot)| slot.name.as_str()).collect()
    }

    fn was_initialized_in(&self, sandbox: &crate::runtime::SandboxId) -> bool {
        let mains = self.slots.iter().filter(|slot| slot.role == Role::Main);
        let has_inits = self.slots.iter().any(|slot| slot.role == Role::Init);
        !has_inits
            || mains.into_iter().any(|slot| slot.run.as_ref().is_some_and(|run| run.sandbox.as_ref() == Some(sandbox)))
    }
}

fn failed_for_good(slot: &Slot) -> bool {
    slot.policy == Policy::Never && slot.end().is_some_and(|end| end.exit_code != 0)
}
