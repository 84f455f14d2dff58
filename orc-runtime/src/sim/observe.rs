//! What a simulated runtime shows.

use async_trait::async_trait;
use futures::stream;
use tokio::sync::broadcast;

use super::SimRuntime;
use crate::runtime::{
    ContainerId, ContainerStatus, Event, EventStream, Observe, RuntimeError, RuntimeStatus, SandboxId, SandboxState,
    SandboxStats, SandboxStatus, VersionInfo,
};

#[async_trait]
impl Observe for SimRuntime {
    async fn list_sandboxes(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        Ok(self.settle().sandboxes.values().cloned().collect())
    }

    async fn list_containers(&self, sandbox: Option<&SandboxId>) -> Result<Vec<ContainerStatus>, RuntimeError> {
        let state = self.settle();
        let all = state.containers.values().map(|container| &container.status);
        Ok(all.filter(|status| sandbox.is_none_or(|id| status.sandbox_id == *id)).cloned().collect())
    }

    async fn sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus, RuntimeError> {
        self.settle().sandboxes.get(id).cloned().ok_or_else(|| RuntimeError::SandboxNotFound(id.clone()))
    }

    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let state = self.settle();
        let found = state.containers.get(id).map(|container| container.status.clone());
        found.ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))
    }

    fn events(&self) -> EventStream {
        let receiver = self.0.events.subscribe();
        let me = self.clone();
        Box::pin(stream::unfold((receiver, me), |(mut receiver, me)| async move {
            loop {
                tokio::select! {
                    biased;
                    event = receiver.recv() => return match event {
                        Ok(event) => Some((event, (receiver, me))),
                        Err(broadcast::error::RecvError::Lagged(_)) => Some((Event::Lagged, (receiver, me))),
                        Err(broadcast::error::RecvError::Closed) => None,
                    },
                    () = me.passed() => {}
                }
            }
        }))
    }

    async fn stats(&self) -> Result<Vec<SandboxStats>, RuntimeError> {
        let at = self.0.clock.now();
        let state = self.settle();
        let ready = state.sandboxes.values().filter(|sandbox| sandbox.state == SandboxState::Ready);
        let stats = ready.map(|sandbox| SandboxStats {
            id: sandbox.id.clone(),
            pod_uid: sandbox.pod_uid.clone(),
            at,
            containers: Vec::new(),
            network: None,
        });
        Ok(stats.collect())
    }

    async fn runtime_status(&self) -> RuntimeStatus {
        RuntimeStatus {
            ready: true,
            network_ready: true,
            message: String::new(),
            version: VersionInfo { name: "sim".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        }
    }
}
