//! What is: read from the records on disk, so that it is right after any restart.

use std::path::Path;

use async_trait::async_trait;
use futures::stream;
use tokio::sync::broadcast::error::RecvError;

use super::layout::ContainerRecord;
use super::{Isolation, Pod, ProcessRuntime, stats};
use crate::runtime::{
    ContainerId, ContainerState, ContainerStatus, Event, EventStream, Observe, RuntimeError, RuntimeStatus, SandboxId,
    SandboxState, SandboxStats, SandboxStatus, VersionInfo, reason,
};
use crate::shim::protocol::{EXIT_FILE, ExitRecord, STARTED_FILE, StartedRecord};
use crate::shim::record;

/// Signal 9: what it looks like when a shim's containers die with it.
const KILLED: i32 = 9;

#[async_trait]
impl Observe for ProcessRuntime {
    async fn list_sandboxes(&self) -> Result<Vec<SandboxStatus>, RuntimeError> {
        let pods: Vec<Pod> = self.inner.pods.lock().values().cloned().collect();
        Ok(pods.iter().map(|pod| self.status_of(pod)).collect())
    }

    async fn list_containers(&self, sandbox: Option<&SandboxId>) -> Result<Vec<ContainerStatus>, RuntimeError> {
        let pods: Vec<Pod> = match sandbox {
            Some(id) => self.pod(id).into_iter().collect(),
            None => self.inner.pods.lock().values().cloned().collect(),
        };
        let all = pods.iter().flat_map(|pod| pod.containers.values().map(move |c| self.container_status_of(pod, c)));
        Ok(all.collect())
    }

    async fn sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus, RuntimeError> {
        Ok(self.status_of(&self.pod(id)?))
    }

    async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus, RuntimeError> {
        let (pod, record) = self.container(id)?;
        Ok(self.container_status_of(&pod, &record))
    }

    fn events(&self) -> EventStream {
        let receiver = self.inner.events.subscribe();
        Box::pin(stream::unfold(receiver, |mut receiver| async {
            match receiver.recv().await {
                Ok(event) => Some((event, receiver)),
                Err(RecvError::Lagged(_)) => Some((Event::Lagged, receiver)),
                Err(RecvError::Closed) => None,
            }
        }))
    }

    async fn stats(&self) -> Result<Vec<SandboxStats>, RuntimeError> {
        let pods: Vec<Pod> = self.inner.pods.lock().values().cloned().collect();
        let ready = pods.iter().filter(|pod| self.status_of(pod).state == SandboxState::Ready);
        Ok(ready.map(|pod| self.stats_of(pod)).collect())
    }

    async fn runtime_status(&self) -> RuntimeStatus {
        let message = match &self.inner.config.isolation {
            Isolation::Unavailable { reason } => reason.clone(),
            _ if self.inner.config.network.is_none() => "no pod network is configured".to_owned(),
            _ => String::new(),
        };
        RuntimeStatus {
            ready: true,
            network_ready: message.is_empty(),
            message,
            version: VersionInfo { name: "process".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        }
    }
}

impl ProcessRuntime {
    pub(super) fn container_status_of(&self, pod: &Pod, container: &ContainerRecord) -> ContainerStatus {
        let config = &container.config;
        let sandbox = &pod.record;
        let dir = pod.dir.container(config);
        let mut status = ContainerStatus {
            id: container.id.clone(),
            sandbox_id: sandbox.id.clone(),
            pod_uid: sandbox.config.pod_uid.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            image: config.image.clone(),
            state: ContainerState::Created,
            pid: None,
            created_at: container.created_at,
            started_at: None,
            finished_at: None,
            exit_code: None,
            signal: None,
            reason: String::new(),
            message: String::new(),
            log_path: (!config.log_path.as_os_str().is_empty())
                .then(|| sandbox.config.log_directory.join(&config.log_path)),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        if let Err(error) = self.fill_state(&mut status, pod, &dir) {
            status.state = ContainerState::Unknown;
            status.message = format!("read the container's records: {error}");
        }
        status
    }

    fn fill_state(&self, status: &mut ContainerStatus, pod: &Pod, dir: &Path) -> std::io::Result<()> {
        // In this order: a shim that is alive here had not ended before its exit record was looked for.
        let alive = pod.dir.shim_is_alive();
        if let Some(exit) = record::read(&dir.join(EXIT_FILE))? {
            ended(status, exit);
            return Ok(());
        }
        let Some(started) = record::read::<StartedRecord>(&dir.join(STARTED_FILE))? else { return Ok(()) };
        if alive {
            status.state = ContainerState::Running;
            status.pid = u32::try_from(started.pid).ok();
            status.started_at = Some(started.at);
            return Ok(());
        }
        #[allow(clippy::disallowed_methods, reason = "the end of a lost container is when it was found out")]
        let now = jiff::Timestamp::now();
        let exit = ExitRecord {
            code: crate::runtime::exit_code_of_signal(KILLED),
            signal: None,
            reason: reason::UNKNOWN.to_owned(),
            message: "the shim that held this container is gone, and the container with it".to_owned(),
            started_at: Some(started.at),
            finished_at: now,
        };
        record::write(&dir.join(EXIT_FILE), &exit)?;
        ended(status, exit);
        Ok(())
    }

    fn stats_of(&self, pod: &Pod) -> SandboxStats {
        #[allow(clippy::disallowed_methods, reason = "usage is stamped with the wall time")]
        let at = jiff::Timestamp::now();
        let containers = pod.containers.values().filter_map(|container| {
            let dir = pod.dir.container(&container.config);
            if dir.join(EXIT_FILE).exists() {
                return None;
            }
            let started: StartedRecord = record::read(&dir.join(STARTED_FILE)).ok()??;
            Some(stats::of_container(container, started.init, at))
        });
        let shim = pod.dir.shim().ok().flatten().filter(|_| !pod.record.config.host_network);
        SandboxStats {
            id: pod.record.id.clone(),
            pod_uid: pod.record.config.pod_uid.clone(),
            at,
            containers: containers.collect(),
            network: shim.and_then(|shim| stats::of_network(shim.pid)),
        }
    }
}

fn ended(status: &mut ContainerStatus, exit: ExitRecord) {
    status.state = ContainerState::Exited;
    status.exit_code = Some(exit.code);
    status.signal = exit.signal;
    status.reason = exit.reason;
    status.message = exit.message;
    status.started_at = exit.started_at;
    status.finished_at = Some(exit.finished_at);
}
