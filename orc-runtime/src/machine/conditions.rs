//! The conditions of a pod, with the kubelet's reasons and words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodCondition;

use super::Room;
use super::find::find_container;
use super::pod::Machine;
use super::run::{Role, time};

type Verdict = (bool, Option<&'static str>, Option<String>);

impl Machine {
    /// The conditions that the node owns, in the kubelet's order, going on from those given out before.
    pub(super) fn conditions(&self, phase: &str, now: Timestamp) -> Vec<PodCondition> {
        let containers = self.containers_ready(phase);
        let all: [(&str, Verdict); 5] = [
            ("PodReadyToStartContainers", (self.has_live_sandbox(), None, None)),
            ("Initialized", self.initialized(phase)),
            ("Ready", self.ready(&containers)),
            ("ContainersReady", containers),
            ("PodScheduled", (true, None, None)),
        ];
        let all = all.into_iter().chain(self.resize_conditions());
        all.map(|(kind, verdict)| self.condition(kind, verdict, now)).collect()
    }

    /// These two are there only while there is something to tell.
    fn resize_conditions(&self) -> Vec<(&'static str, Verdict)> {
        let mut all = Vec::new();
        match &self.resize.waits {
            Some(Room::Deferred(why)) => all.push(("PodResizePending", (true, Some("Deferred"), Some(why.clone())))),
            Some(Room::Infeasible(why)) => {
                all.push(("PodResizePending", (true, Some("Infeasible"), Some(why.clone()))))
            }
            _ => {}
        }
        if !self.is_ending() && self.is_resizing() {
            let error = self.resize.error.clone();
            all.push(("PodResizeInProgress", (true, error.as_ref().map(|_| "Error"), error)));
        }
        all
    }

    fn condition(&self, kind: &str, (good, reason, message): Verdict, now: Timestamp) -> PodCondition {
        let status = if good { "True" } else { "False" };
        let before = self.status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
        let since =
            before.filter(|before| before.status == status).and_then(|before| before.last_transition_time.clone());
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            message,
            last_transition_time: since.or_else(|| Some(time(now))),
            observed_generation: self.pod.metadata.generation,
            ..Default::default()
        }
    }

    fn initialized(&self, phase: &str) -> Verdict {
        if phase == "Succeeded" {
            return (true, Some("PodCompleted"), None);
        }
        let open = self.incomplete_inits();
        if open.is_empty() {
            return (true, None, None);
        }
        let message = format!("containers with incomplete status: [{}]", open.join(" "));
        (false, Some("ContainersNotInitialized"), Some(message))
    }

    fn containers_ready(&self, phase: &str) -> Verdict {
        match phase {
            "Succeeded" => return (false, Some("PodCompleted"), None),
            "Failed" => return (false, Some("PodFailed"), None),
            _ => {}
        }
        let unready = self.slots.iter().filter(|slot| matches!(slot.role, Role::Main | Role::Sidecar));
        let unready = unready.filter(|slot| !self.is_ready(slot));
        let unready: Vec<&str> = unready.map(|slot| slot.name.as_str()).collect();
        if unready.is_empty() {
            return (true, None, None);
        }
        (false, Some("ContainersNotReady"), Some(format!("containers with unready status: [{}]", unready.join(" "))))
    }

    pub(super) fn is_ready(&self, slot: &super::slot::Slot) -> bool {
        let (Some(run), Some(spec)) = (&slot.run, find_container(&self.pod, &slot.name)) else { return false };
        slot.is_running() && slot.probes.is_ready(&run.id, spec)
    }

    fn ready(&self, containers: &Verdict) -> Verdict {
        if !containers.0 {
            return containers.clone();
        }
        let present: BTreeMap<&str, &str> = self
            .pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .map(|condition| (condition.type_.as_str(), condition.status.as_str()))
            .collect();
        let gates = self.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
        let missing = gates.filter_map(|gate| match present.get(gate.condition_type.as_str()) {
            Some(&"True") => None,
            Some(other) => {
                Some(format!("the status of pod readiness gate {:?} is not \"True\", but {other}", gate.condition_type))
            }
            None => {
                Some(format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type))
            }
        });
        let missing: Vec<String> = missing.collect();
        if missing.is_empty() {
            return (true, None, None);
        }
        (false, Some("ReadinessGatesNotReady"), Some(missing.join(", ")))
    }
}
