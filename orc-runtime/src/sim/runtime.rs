//! Simulated pods and the trait that makes and ends them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use orc_core::env::Clock;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};

use super::script::Script;
use super::state::State;
use crate::pod_net::{Cidr, IpPool};
use crate::runtime::{
    ContainerConfig, ContainerId, ContainerResources, ContainerState, Event, Observe, PodLimits, Runtime, RuntimeError,
    SandboxConfig, SandboxId, SandboxStatus,
};

/// Events that a slow reader may lag behind; agents read them at once.
const BACKLOG: usize = 256;

/// How a simulated runtime is set up.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Range of the node's pods.
    pub pod_cidr: Cidr,
    /// What containers do unless annotations say otherwise.
    pub script: Script,
}

/// A runtime without processes. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct SimRuntime(pub(super) Arc<Inner>);

pub(super) struct Inner {
    config: SimConfig,
    pub(super) clock: Clock,
    pool: Mutex<IpPool>,
    state: Mutex<State>,
    pub(super) events: broadcast::Sender<Event>,
    /// Rung when the time of the next happening may have changed.
    timer: Notify,
}

impl SimRuntime {
    /// A runtime with no pods, in the time of `clock`.
    pub fn new(config: SimConfig, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            pool: Mutex::new(IpPool::new(config.pod_cidr)),
            config,
            clock,
            state: Mutex::default(),
            events: broadcast::Sender::new(BACKLOG),
            timer: Notify::new(),
        }))
    }

    /// Kills a sandbox as if the node had lost it: for tests of recovery.
    pub fn lose_sandbox(&self, pod_uid: &str) {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        let ids: Vec<SandboxId> = state
            .sandboxes
            .values()
            .filter(|sandbox| sandbox.pod_uid == pod_uid)
            .map(|sandbox| sandbox.id.clone())
            .collect();
        for id in ids {
            state.stop_sandbox(&id, now);
        }
        drop(state);
        self.announce(pod_uid);
    }

    fn announce(&self, pod_uid: &str) {
        // Nobody listening is fine: a subscriber lists first.
        let _ = self.0.events.send(Event::Pod(pod_uid.to_owned()));
        self.0.timer.notify_waiters();
    }

    /// Lets the present time into the state.
    pub(super) fn settle(&self) -> parking_lot::MutexGuard<'_, State> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        for uid in state.settle(now) {
            let _ = self.0.events.send(Event::Pod(uid));
        }
        state
    }

    fn uid_of(&self, id: &ContainerId) -> Option<String> {
        self.0.state.lock().containers.get(id).map(|container| container.status.pod_uid.clone())
    }

    /// Waits until something happened by itself.
    pub(super) async fn passed(&self) {
        loop {
            let rung = self.0.timer.notified();
            let next = self.0.state.lock().next();
            tokio::select! {
                biased;
                () = rung => {}
                () = until(&self.0.clock, next) => {
                    drop(self.settle());
                    return;
                }
            }
        }
    }
}

async fn until(clock: &Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Runtime for SimRuntime {
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus, RuntimeError> {
        let id = SandboxId::new(format!("{}-{}", config.pod_uid, config.attempt));
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        if let Some(found) = state.sandboxes.get(&id) {
            return Ok(found.clone());
        }
        let ip = if config.host_network {
            None
        } else {
            let range = self.0.config.pod_cidr;
            let ip = self.0.pool.lock().allocate(id.as_str());
            Some(ip.ok_or_else(|| RuntimeError::Sandbox(format!("no address left in the pod range {range}")))?.into())
        };
        state.add_sandbox(&id, config, ip, now);
        let made = state.sandboxes[&id].clone();
        drop(state);
        self.announce(&config.pod_uid);
        Ok(made)
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        if state.stop_sandbox(id, now) {
            let uid = state.sandboxes[id].pod_uid.clone();
            drop(state);
            self.0.pool.lock().release(id.as_str());
            self.announce(&uid);
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let removed = self.0.state.lock().remove_sandbox(id);
        if let Some(removed) = removed {
            self.0.pool.lock().release(id.as_str());
            self.announce(&removed.pod_uid);
        }
        Ok(())
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
    ) -> Result<ContainerId, RuntimeError> {
        let now = self.0.clock.now();
        let id = self.0.state.lock().add_container(sandbox, config, &self.0.config.script, now)?;
        Ok(id)
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.0.state.lock().start(id, self.0.clock.now())?;
        if let Some(uid) = self.uid_of(id) {
            self.announce(&uid);
        }
        Ok(())
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let end = self.0.state.lock().stop(id, grace, self.0.clock.now());
        self.0.timer.notify_waiters();
        // A second call may shorten the end; the state is looked at again then.
        let ended = || {
            let state = self.settle();
            state.containers.get(id).is_none_or(|container| container.status.state == ContainerState::Exited)
        };
        if end.is_none() {
            return Ok(());
        }
        while !ended() {
            let rung = self.0.timer.notified();
            let next = self.0.state.lock().next();
            tokio::select! {
                biased;
                () = rung => {}
                () = until(&self.0.clock, next) => {}
            }
        }
        if let Some(uid) = self.uid_of(id) {
            self.announce(&uid);
        }
        Ok(())
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let removed = self.0.state.lock().containers.remove(id);
        if let Some(removed) = removed {
            self.announce(&removed.status.pod_uid);
        }
        Ok(())
    }

    async fn update(&self, id: &ContainerId, _resources: &ContainerResources) -> Result<(), RuntimeError> {
        // Nothing is limited where nothing runs: any limit holds.
        self.container_status(id).await.map(drop)
    }

    async fn update_sandbox(&self, id: &SandboxId, _limits: &PodLimits) -> Result<(), RuntimeError> {
        self.sandbox_status(id).await.map(drop)
    }
}
