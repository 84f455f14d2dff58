//! The pod's status from the machine's state.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, Pod, PodIP, PodStatus,
};

use super::backoff::go_duration;
use super::find::any_container;
use super::pod::Machine;
use super::run::{Role, Run, Stage, time};
use super::slot::Slot;

impl Machine {
    pub(super) fn make_status(&self, now: Timestamp) -> PodStatus {
        let ending = self.gone || self.pod.metadata.deletion_timestamp.is_some();
        let phase = self.phase(ending);
        let host_ips: Vec<String> = self.config.host_ips.iter().map(ToString::to_string).collect();
        let pod_ips = self.pod_ips(&host_ips);
        let of = |is_it: fn(Role) -> bool| {
            let slots = self.slots.iter().filter(move |slot| is_it(slot.role));
            slots.map(|slot| self.container_status(slot, now)).collect::<Vec<_>>()
        };
        let (inits, mains) = (of(Role::is_init), of(|role| role == Role::Main));
        let extras = of(|role| role == Role::Ephemeral);
        let rejected = self.outcome.as_ref().is_some_and(|outcome| outcome.reason.is_some())
            && self.slots.iter().all(|slot| slot.run.is_none());
        PodStatus {
            phase: Some(phase.to_owned()),
            reason: self.outcome.as_ref().and_then(|outcome| outcome.reason.clone()),
            message: self.outcome.as_ref().and_then(|outcome| outcome.message.clone()),
            conditions: Some(self.conditions(phase, now)),
            host_ip: host_ips.first().cloned(),
            host_ips: Some(host_ips.into_iter().map(|ip| HostIP { ip }).collect()),
            pod_ip: pod_ips.first().cloned(),
            pod_ips: (!pod_ips.is_empty()).then(|| pod_ips.into_iter().map(|ip| PodIP { ip }).collect()),
            start_time: self.status.start_time.clone().or_else(|| Some(time(now))),
            init_container_statuses: (!inits.is_empty() && !rejected).then_some(inits),
            container_statuses: (!mains.is_empty() && !rejected).then_some(mains),
            ephemeral_container_statuses: (!extras.is_empty() && !rejected).then_some(extras),
            qos_class: Some(self.status.qos_class.clone().unwrap_or_else(|| qos_class(&self.pod).to_owned())),
            observed_generation: self.pod.metadata.generation,
            ..self.foreign_fields()
        }
    }

    /// What others write into the status stays as it is.
    fn foreign_fields(&self) -> PodStatus {
        self.pod.status.clone().unwrap_or_default()
    }

    fn pod_ips(&self, host_ips: &[String]) -> Vec<String> {
        match self.live_sandbox() {
            Some(sandbox) if sandbox.host_network => host_ips.to_vec(),
            Some(sandbox) => sandbox.ips.iter().map(ToString::to_string).collect(),
            // An ended pod keeps the address that it had.
            None if self.is_ending() => self.status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect(),
            None => Vec::new(),
        }
    }

    fn container_status(&self, slot: &Slot, now: Timestamp) -> ContainerStatus {
        let spec = any_container(&self.pod, &slot.name);
        let spec = spec.as_deref();
        let run = slot.run.as_ref();
        let (state, last) = self.states(slot, now);
        let started_once = run.is_some_and(|run| !matches!(run.stage, Stage::Created));
        let image = spec.and_then(|spec| spec.image.clone()).unwrap_or_default();
        let ready = match slot.role {
            Role::Init => slot.succeeded(),
            _ => self.is_ready(slot),
        };
        // Its presence tells that this node can resize.
        let (allocated_resources, resources) = self.sizes(slot);
        let restart_count = run.map_or(0, |run| i32::try_from(run.attempt).unwrap_or(i32::MAX));
        ContainerStatus {
            name: slot.name.clone(),
            image_id: if started_once { image.clone() } else { String::new() },
            image,
            container_id: run.map(|run| format!("{}://{}", self.config.scheme, run.id)),
            ready,
            started: Some(self.is_started(slot, spec)),
            restart_count,
            state: Some(state),
            last_state: last.map(|end| ContainerState { terminated: Some(end), ..Default::default() }),
            resources: resources.filter(|_| started_once),
            allocated_resources,
            ..Default::default()
        }
    }

    fn is_started(&self, slot: &Slot, spec: Option<&Container>) -> bool {
        match (&slot.run, spec, slot.role) {
            (Some(Run { stage: Stage::Running { .. }, .. }), _, Role::Init) => true,
            (Some(run), Some(spec), _) => slot.is_running() && slot.probes.has_started(&run.id, spec),
            _ => false,
        }
    }

    fn states(&self, slot: &Slot, now: Timestamp) -> (ContainerState, Option<ContainerStateTerminated>) {
        let last = slot.last_end.clone();
        match slot.run.as_ref().map(|run| &run.stage) {
            None | Some(Stage::Created) => (self.waiting(slot), last),
            Some(Stage::Running { since }) => {
                let running = ContainerStateRunning { started_at: Some(time(*since)) };
                (ContainerState { running: Some(running), ..Default::default() }, last)
            }
            Some(Stage::Exited(end)) => match self.waits_after(slot, now) {
                Some(waiting) => (waiting, Some(end.clone())),
                None => (ContainerState { terminated: Some(end.clone()), ..Default::default() }, last),
            },
        }
    }

    /// What an ended container that is to run again waits for.
    fn waits_after(&self, slot: &Slot, now: Timestamp) -> Option<ContainerState> {
        if self.is_ending() || !slot.restarts_after_end() {
            return None;
        }
        let until = slot.restart_at().filter(|at| *at > now);
        if until.is_some() {
            let wait = go_duration(slot.restarts.wait());
            let message = format!("back-off {wait} restarting failed container={} pod={}", slot.name, self.pod_name());
            return Some(waiting("CrashLoopBackOff", Some(message)));
        }
        let trouble = slot.trouble.as_ref()?;
        Some(waiting(&trouble.reason, Some(trouble.message.clone())))
    }

    fn waiting(&self, slot: &Slot) -> ContainerState {
        if let Some(trouble) = &slot.trouble {
            return waiting(&trouble.reason, Some(trouble.message.clone()));
        }
        let inits = slot.role != Role::Ephemeral && self.slots.iter().any(|slot| slot.role.is_init());
        waiting(if inits { "PodInitializing" } else { "ContainerCreating" }, None)
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..Default::default() }
}

/// The quality of service that a pod's requests and limits give it.
fn qos_class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let mut any = false;
    let mut guaranteed = true;
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let resources = container.resources.clone().unwrap_or_default();
        let (requests, limits) = (resources.requests.unwrap_or_default(), resources.limits.unwrap_or_default());
        let get = |map: &BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>, name: &str| {
            let amount = orc_core::quantity::Quantity::parse(&map.get(name)?.0).ok()?;
            (!amount.is_zero()).then_some(amount)
        };
        for name in ["cpu", "memory"] {
            let (request, limit) = (get(&requests, name), get(&limits, name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
