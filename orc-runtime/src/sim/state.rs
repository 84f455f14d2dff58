//! The simulated pods of one node: pure state; time is an argument.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::script::Script;
use crate::runtime::{
    ContainerConfig, ContainerId, ContainerState, ContainerStatus, RuntimeError, SandboxConfig, SandboxId,
    SandboxState, SandboxStatus, reason,
};

/// Code and signal of a container that was killed.
const KILLED: (i32, i32) = (137, 9);

#[derive(Debug)]
pub(super) struct Container {
    pub(super) status: ContainerStatus,
    pub(super) script: Script,
    /// When it begins to run, while it does not.
    starts: Option<Timestamp>,
    /// When it ends, and with which code and signal.
    ends: Option<(Timestamp, i32, Option<i32>)>,
}

/// All pods.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    pub(super) containers: BTreeMap<ContainerId, Container>,
}

impl State {
    pub(super) fn add_sandbox(&mut self, id: &SandboxId, config: &SandboxConfig, ip: Option<IpAddr>, now: Timestamp) {
        let status = SandboxStatus {
            id: id.clone(),
            pod_uid: config.pod_uid.clone(),
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            attempt: config.attempt,
            state: SandboxState::Ready,
            created_at: now,
            ips: ip.into_iter().collect(),
            host_network: config.host_network,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        self.sandboxes.insert(id.clone(), status);
    }

    pub(super) fn add_container(
        &mut self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        script: &Script,
        now: Timestamp,
    ) -> Result<ContainerId, RuntimeError> {
        let holder = self.sandboxes.get(sandbox).ok_or_else(|| RuntimeError::SandboxNotFound(sandbox.clone()))?;
        let id = ContainerId::new(format!("{sandbox}-{}-{}", config.name, config.attempt));
        if self.containers.contains_key(&id) {
            return Ok(id);
        }
        if holder.state != SandboxState::Ready {
            return Err(RuntimeError::Create(format!("sandbox {sandbox} is not ready")));
        }
        let script = script.annotated(&config.name, &holder.annotations).map_err(RuntimeError::Create)?;
        let status = ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox.clone(),
            pod_uid: holder.pod_uid.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            image: config.image.clone(),
            state: ContainerState::Created,
            pid: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            exit_code: None,
            signal: None,
            reason: String::new(),
            message: String::new(),
            log_path: None,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        self.containers.insert(id.clone(), Container { status, script, starts: None, ends: None });
        Ok(id)
    }

    pub(super) fn start(&mut self, id: &ContainerId, now: Timestamp) -> Result<(), RuntimeError> {
        let container = self.containers.get_mut(id).ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))?;
        if container.status.state == ContainerState::Created && container.starts.is_none() {
            let at = now.checked_add(container.script.start).unwrap_or(now);
            container.starts = Some(at);
            let end = container.script.run.and_then(|run| at.checked_add(run).ok());
            container.ends = end.map(|end| (end, container.script.exit_code, None));
            container.settle(now);
        }
        Ok(())
    }

    /// Asks a container to end; answers when it will have.
    pub(super) fn stop(&mut self, id: &ContainerId, grace: Duration, now: Timestamp) -> Option<Timestamp> {
        let container = self.containers.get_mut(id)?;
        container.settle(now);
        if container.status.state == ContainerState::Created && container.starts.is_none() {
            return None;
        }
        if container.status.state == ContainerState::Exited {
            return None;
        }
        let (wait, code, signal) =
            if container.script.stop < grace || (container.script.stop.is_zero() && !grace.is_zero()) {
                (container.script.stop, 0, None)
            } else {
                (grace, KILLED.0, Some(KILLED.1))
            };
        let at = now.checked_add(wait).unwrap_or(now);
        if container.ends.is_none_or(|(end, ..)| at < end) {
            container.ends = Some((at, code, signal));
        }
        container.settle(now);
        container.ends.map(|(end, ..)| end)
    }

    pub(super) fn stop_sandbox(&mut self, id: &SandboxId, now: Timestamp) -> bool {
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return false };
        sandbox.state = SandboxState::NotReady;
        for container in self.containers.values_mut().filter(|container| container.status.sandbox_id == *id) {
            if container.status.state != ContainerState::Exited {
                container.ends = Some((now, KILLED.0, Some(KILLED.1)));
                container.settle(now);
            }
        }
        true
    }

    pub(super) fn remove_sandbox(&mut self, id: &SandboxId) -> Option<SandboxStatus> {
        self.containers.retain(|_, container| container.status.sandbox_id != *id);
        self.sandboxes.remove(id)
    }

    /// Lets time pass: the pods in which something happened.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<String> {
        let changed = self
            .containers
            .values_mut()
            .filter_map(|container| container.settle(now).then(|| container.status.pod_uid.clone()));
        changed.collect()
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.containers.values().filter_map(Container::next).min()
    }
}

impl Container {
    fn next(&self) -> Option<Timestamp> {
        match self.status.state {
            ContainerState::Exited => None,
            ContainerState::Running => self.ends.map(|(at, ..)| at),
            _ => self.starts.into_iter().chain(self.ends.map(|(at, ..)| at)).min(),
        }
    }

    fn settle(&mut self, now: Timestamp) -> bool {
        let before = self.status.state;
        if let Some(at) = self.starts.filter(|at| *at <= now && before == ContainerState::Created) {
            self.status.state = ContainerState::Running;
            self.status.started_at = Some(at);
        }
        if let Some((at, code, signal)) = self.ends.filter(|(at, ..)| *at <= now)
            && before != ContainerState::Exited
        {
            self.status.state = ContainerState::Exited;
            self.status.finished_at = Some(at);
            self.status.exit_code = Some(code);
            self.status.signal = signal;
            self.status.reason = if code == 0 { reason::COMPLETED } else { reason::ERROR }.to_owned();
        }
        self.status.state != before
    }
}
