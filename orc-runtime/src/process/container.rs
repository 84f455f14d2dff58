//! Making, starting and ending containers: the `Runtime` trait.

use std::time::Duration;

use async_trait::async_trait;

use super::layout::ContainerRecord;
use super::{ProcessRuntime, client, environment, images};
use crate::runtime::{
    ContainerConfig, ContainerId, ContainerResources, ContainerState, PodLimits, Runtime, RuntimeError, SandboxConfig,
    SandboxId, SandboxState, SandboxStatus, reason,
};
use crate::shim::protocol::{Reply, Request};
use crate::shim::sys;

/// How long a killed container may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(30);
/// Asked again this often even without news, should an event be lost.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

fn now() -> jiff::Timestamp {
    // The runtime is a driver: creation times are wall times.
    #[allow(clippy::disallowed_methods, reason = "creation times are wall times")]
    jiff::Timestamp::now()
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus, RuntimeError> {
        let (me, config) = (self.clone(), config.clone());
        self.whole(async move { me.make_sandbox(config).await }).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let (me, id) = (self.clone(), id.clone());
        self.whole(async move { me.end_sandbox(&id).await }).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let (me, id) = (self.clone(), id.clone());
        self.whole(async move { me.forget_sandbox(&id).await }).await
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
    ) -> Result<ContainerId, RuntimeError> {
        let _turn = self.lock(sandbox.as_str()).await;
        let pod = self.pod(sandbox)?;
        if !environment::is_plain_name(&config.name) {
            return Err(RuntimeError::Invalid(format!("container name {:?} cannot name a directory", config.name)));
        }
        let id = ContainerId::new(format!("{sandbox}-{}-{}", config.name, config.attempt));
        if pod.containers.contains_key(&id) {
            return Ok(id);
        }
        if self.status_of(&pod).state != SandboxState::Ready {
            return Err(RuntimeError::Create(format!("sandbox {sandbox} is not ready")));
        }
        images::check(&config.image)?;
        environment::check(config, self.isolation().is_available())?;
        let record = ContainerRecord { id: id.clone(), config: config.clone(), created_at: now() };
        pod.dir.write_container(&record).map_err(|e| RuntimeError::io("record the container", e))?;
        if let Some(pod) = self.inner.pods.lock().get_mut(sandbox) {
            pod.containers.insert(id.clone(), record);
        }
        self.announce(&pod.record.config.pod_uid);
        Ok(id)
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (me, id) = (self.clone(), id.clone());
        self.whole(async move { me.start(&id).await }).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        if !grace.is_zero() {
            if !self.signal(id, sys::SIGTERM).await? {
                return Ok(());
            }
            if self.wait_for_end(id, grace).await? {
                return Ok(());
            }
        }
        if !self.signal(id, sys::SIGKILL).await? || self.wait_for_end(id, KILL_PATIENCE).await? {
            return Ok(());
        }
        Err(RuntimeError::Timeout { what: format!("killing container {id}"), seconds: KILL_PATIENCE.as_secs() })
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok((pod, record)) = self.container(id) else { return Ok(()) };
        self.stop_container(id, Duration::ZERO).await?;
        let _turn = self.lock(pod.record.id.as_str()).await;
        if pod.dir.shim_is_alive() {
            let request = Request::Forget { container: id.to_string() };
            client::ask(&pod.record.id, &pod.dir, request, Vec::new()).await?;
        }
        self.limits().forget_container(&pod.record.config, id.as_str());
        pod.dir.remove_container(&record.config).map_err(|e| RuntimeError::io("remove the container", e))?;
        if let Some(pod) = self.inner.pods.lock().get_mut(&pod.record.id) {
            pod.containers.remove(id);
        }
        self.announce(&pod.record.config.pod_uid);
        Ok(())
    }

    async fn update(&self, id: &ContainerId, resources: &ContainerResources) -> Result<(), RuntimeError> {
        let (pod, _) = self.container(id)?;
        let _turn = self.lock(pod.record.id.as_str()).await;
        let (pod, mut record) = self.container(id)?;
        self.limits().update(&pod.record.config, id.as_str(), resources)?;
        record.config.resources = resources.clone();
        pod.dir.write_container(&record).map_err(|e| RuntimeError::io("record the container", e))?;
        if let Some(pod) = self.inner.pods.lock().get_mut(&pod.record.id) {
            pod.containers.insert(id.clone(), record);
        }
        self.announce(&pod.record.config.pod_uid);
        Ok(())
    }

    async fn update_sandbox(&self, id: &SandboxId, limits: &PodLimits) -> Result<(), RuntimeError> {
        self.resize_sandbox(id, limits).await
    }
}

impl ProcessRuntime {
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (pod, _) = self.container(id)?;
        let _turn = self.lock(pod.record.id.as_str()).await;
        let (pod, record) = self.container(id)?;
        let status = self.container_status_of(&pod, &record);
        match status.state {
            ContainerState::Created => {}
            _ if status.reason == reason::START_ERROR => return Err(RuntimeError::Start(status.message)),
            _ => return Ok(()),
        }
        let spec = environment::start_spec(&self.inner.config, &pod.dir, &pod.record.config, &record)?;
        let request = Request::Start(Box::new(spec));
        let answer = client::ask(&pod.record.id, &pod.dir, request, Vec::new()).await?;
        self.announce(&pod.record.config.pod_uid);
        match answer.reply {
            Reply::Started { .. } => Ok(()),
            Reply::StartFailed { message } => Err(RuntimeError::Start(message)),
            Reply::Failed { message } => Err(RuntimeError::Create(message)),
            other => Err(RuntimeError::Start(format!("the shim answered {other:?}"))),
        }
    }

    /// Signals a container; false when there is nothing that runs.
    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<bool, RuntimeError> {
        let Ok((pod, record)) = self.container(id) else { return Ok(false) };
        if self.container_status_of(&pod, &record).state != ContainerState::Running {
            return Ok(false);
        }
        let request = Request::Kill { container: id.to_string(), signal };
        let answer = client::ask(&pod.record.id, &pod.dir, request, Vec::new()).await?;
        Ok(matches!(answer.reply, Reply::Done | Reply::Failed { .. }))
    }

    /// Waits until a container does not run; false when that took too long.
    pub(super) async fn wait_for_end(&self, id: &ContainerId, limit: Duration) -> Result<bool, RuntimeError> {
        let mut news = self.inner.events.subscribe();
        let ended = async {
            loop {
                let Ok((pod, record)) = self.container(id) else { return };
                if self.container_status_of(&pod, &record).state != ContainerState::Running {
                    return;
                }
                let _ = tokio::time::timeout(LOOK_AGAIN, news.recv()).await;
            }
        };
        Ok(tokio::time::timeout(limit, ended).await.is_ok())
    }
}
