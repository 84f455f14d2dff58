//! In-place resize (KEP-1287): what a pod asks for, what the node has promised it, what its containers have.
//!
//! The three differ only while a resize is under way. Asked is the spec; promised is `allocated`, and everything that is done
//! for the pod is done by it; what a container has is in its slot, and in its status. A resize that does not fit waits, and
//! the pod keeps what it has. After a restart of the agent the status says where it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::find::find_container;
use super::pod::Machine;
use super::run::Role;
use super::slot::Slot;
use super::{Action, Failure, PodEvent, Step};

/// The resources that a running container can be given more or less of.
const SIZES: [&str; 2] = ["cpu", "memory"];
/// The reason of a failure for ever: the runtime cannot resize.
pub(crate) const UNSUPPORTED: &str = "ResizeUnsupported";

/// Whether a node has room for what a pod asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// It has.
    Fits,
    /// Not beside the other pods that it has now, with the reason.
    Deferred(String),
    /// Never, with the reason.
    Infeasible(String),
}

impl Machine {
    /// The pod with resources that the node has not promised yet; `None` when it asks for no others.
    pub fn wants_resize(&self) -> Option<&Arc<Pod>> {
        (!self.is_ending() && !Arc::ptr_eq(&self.pod, &self.allocated)).then_some(&self.pod)
    }

    pub(super) fn take_room(&mut self, room: Room, step: &mut Step) {
        let generation = self.pod.metadata.generation.unwrap_or_default();
        if self.wants_resize().is_none() || self.resize.refused == Some(generation) {
            return;
        }
        let event = match &room {
            Room::Fits => PodEvent::normal("ResizeStarted", format!("Pod resize started: generation {generation}")),
            Room::Deferred(why) => PodEvent::warning("ResizeDeferred", format!("Pod resize deferred: {why}")),
            Room::Infeasible(why) => PodEvent::warning("ResizeInfeasible", format!("Pod resize infeasible: {why}")),
        };
        if room == Room::Fits {
            self.allocated = self.pod.clone();
            self.resize.error = None;
        }
        let waits = (room != Room::Fits).then_some(room);
        if waits.is_none() || waits != self.resize.waits {
            step.events.push(event);
        }
        self.resize.waits = waits;
    }

    /// A new spec: what was promised before stays promised.
    pub(super) fn keep_allocated(&mut self) {
        let promised = self.allocated.clone();
        self.allocated = with(&self.pod, |container| {
            find_container(&promised, &container.name).map(|before| before.resources.clone())
        });
        if Arc::ptr_eq(&self.pod, &self.allocated) {
            self.resize.waits = None;
        }
    }

    /// Brings a running container to what it is promised.
    pub(super) fn resize(&mut self, index: usize, now: Timestamp, step: &mut Step) {
        let allocated = self.allocated.clone();
        let slot = &mut self.slots[index];
        let Some(run) = slot.run.as_ref() else { return };
        let Some(container) = find_container(&allocated, &slot.name) else { return };
        let changed = slot.changed(container);
        if changed.is_empty() || slot.resizing.is_some() || slot.condemned.as_ref() == Some(&run.id) {
            return;
        }
        let (name, id, list) = (slot.name.clone(), run.id.clone(), slot.role.list());
        if needs_restart(container, &changed) {
            (slot.condemned, slot.condemned_by) = (Some(id), None);
            let text = format!("Container {name} resize requires restart");
            return step.events.push(PodEvent::normal("Killing", text).of_container(list, &name));
        }
        let (generation, wanted) = (allocated.metadata.generation.unwrap_or_default(), container.resources.clone());
        let action = Action::Resize { container: name, id, generation };
        self.begin(action.clone(), now, step);
        if step.actions.contains(&action) {
            self.slots[index].resizing = Some(wanted.unwrap_or_default());
        }
    }

    /// A resize of a container ended.
    pub(super) fn resized(&mut self, name: &str, result: &Result<(), Failure>, step: &mut Step) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == name) else { return };
        let Some(wanted) = slot.resizing.take() else { return };
        let Err(failure) = result else {
            slot.actual = Some(wanted);
            self.resize.error = None;
            if !self.is_resizing() {
                let generation = self.allocated.metadata.generation.unwrap_or_default();
                let text = format!("Pod resize completed: generation {generation}");
                step.events.push(PodEvent::normal("ResizeCompleted", text));
            }
            return;
        };
        let text = format!("Pod resize error: {}", failure.message);
        step.events.push(PodEvent::warning("ResizeError", text));
        if failure.reason != UNSUPPORTED {
            self.resize.error = Some(failure.message.clone());
            return;
        }
        // What cannot be had is not promised: the pod goes back to what it has.
        self.resize.waits = Some(Room::Infeasible(failure.message.clone()));
        self.resize.refused = self.pod.metadata.generation;
        let has: BTreeMap<String, Option<ResourceRequirements>> =
            self.slots.iter().map(|slot| (slot.name.clone(), slot.actual.clone())).collect();
        self.allocated = with(&self.pod, |container| has.get(&container.name).filter(|has| has.is_some()).cloned());
    }

    /// Whether a container that runs does not have what it is promised.
    pub(super) fn is_resizing(&self) -> bool {
        let running = self.slots.iter().filter(|slot| slot.role != Role::Ephemeral && slot.is_running());
        let mut promised = running.filter_map(|slot| Some((slot, find_container(&self.allocated, &slot.name)?)));
        promised.any(|(slot, container)| !slot.changed(container).is_empty())
    }

    /// What a container's status says of its resources: promised requests, and all that it has.
    pub(super) fn sizes(&self, slot: &Slot) -> (Option<BTreeMap<String, Quantity>>, Option<ResourceRequirements>) {
        let promised = find_container(&self.allocated, &slot.name).and_then(|container| container.resources.clone());
        let requests = promised.as_ref().and_then(|all| all.requests.clone()).filter(|all| !all.is_empty());
        (requests, Some(slot.actual.clone().or(promised).unwrap_or_default()))
    }
}

/// What of a resize is not in the pods themselves.
#[derive(Debug, Default)]
pub(super) struct Resize {
    /// Why the node has not promised it.
    pub(super) waits: Option<Room>,
    /// Why it could not be done the last time.
    pub(super) error: Option<String>,
    /// The `metadata.generation` that the runtime cannot resize to: it is not tried again.
    pub(super) refused: Option<i64>,
}

impl Slot {
    /// The resources of which the run has another amount than the container is promised.
    fn changed(&self, container: &Container) -> Vec<&'static str> {
        let Some(actual) = &self.actual else { return Vec::new() };
        let wanted = container.resources.clone().unwrap_or_default();
        let differs = |name: &&str| {
            let amount = |of: &Option<BTreeMap<String, Quantity>>| of.as_ref().and_then(|all| all.get(*name)).cloned();
            amount(&actual.requests) != amount(&wanted.requests) || amount(&actual.limits) != amount(&wanted.limits)
        };
        SIZES.into_iter().filter(differs).collect()
    }
}

fn needs_restart(container: &Container, changed: &[&str]) -> bool {
    let mut policies = container.resize_policy.iter().flatten();
    policies
        .any(|policy| policy.restart_policy == "RestartContainer" && changed.contains(&policy.resource_name.as_str()))
}

/// The promised pod of a machine that begins: by its status, where that tells of a run; else what the pod asks for.
pub(super) fn restored(pod: &Arc<Pod>, status: &PodStatus) -> Arc<Pod> {
    let all: Vec<&ContainerStatus> =
        status.init_container_statuses.iter().chain(&status.container_statuses).flatten().collect();
    with(pod, |container| {
        let known = all.iter().find(|known| known.name == container.name)?;
        let has = known.resources.as_ref()?;
        let requests = known.allocated_resources.clone().or_else(|| has.requests.clone());
        let claims = container.resources.as_ref().and_then(|own| own.claims.clone());
        let promised = ResourceRequirements { requests, limits: has.limits.clone(), claims };
        Some(Some(promised))
    })
}

/// The pod with other resources of its containers; the very same pod where they do not differ.
fn with(pod: &Arc<Pod>, other: impl Fn(&Container) -> Option<Option<ResourceRequirements>>) -> Arc<Pod> {
    let differs = |container: &Container| {
        let wanted = other(container)?;
        let same = wanted.clone().unwrap_or_default() == container.resources.clone().unwrap_or_default();
        (!same).then_some(wanted)
    };
    let Some(spec) = &pod.spec else { return pod.clone() };
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    if all.all(|container| differs(container).is_none()) {
        return pod.clone();
    }
    let mut changed = (**pod).clone();
    let spec = changed.spec.get_or_insert_default();
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        if let Some(wanted) = differs(container) {
            container.resources = wanted;
        }
    }
    Arc::new(changed)
}
