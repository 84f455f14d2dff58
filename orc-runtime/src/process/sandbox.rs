//! Making and ending pod sandboxes.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use super::layout::{self, PodDir, SandboxRecord};
use super::{Isolation, Pod, ProcessRuntime, client, environment};
use crate::runtime::{PodLimits, RuntimeError, SandboxConfig, SandboxId, SandboxState, SandboxStatus};
use crate::shim::protocol::{POD_FILE, PodSpec};
use crate::shim::{self, SHIM_NAME, record};

fn now() -> jiff::Timestamp {
    // The runtime is a driver: creation times are wall times.
    #[allow(clippy::disallowed_methods, reason = "creation times are wall times")]
    jiff::Timestamp::now()
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> RuntimeError {
    move |error| RuntimeError::Sandbox(format!("{what}: {error}"))
}

impl ProcessRuntime {
    pub(super) async fn make_sandbox(&self, config: SandboxConfig) -> Result<SandboxStatus, RuntimeError> {
        if !environment::is_plain_name(&config.pod_uid) {
            return Err(RuntimeError::Invalid(format!("pod uid {:?} cannot name a directory", config.pod_uid)));
        }
        let id = SandboxId::new(format!("{}-{}", config.pod_uid, config.attempt));
        let _turn = self.lock(id.as_str()).await;
        if let Ok(pod) = self.pod(&id) {
            return Ok(self.status_of(&pod));
        }
        self.allow(&config)?;
        let dir = PodDir::of(&self.inner.config.state_dir, &id);
        let made = self.build(&id, &dir, config).await;
        if made.is_err() {
            client::shut_down(&dir).await;
            self.free_network(&id).await;
            dir.remove().map_err(|e| RuntimeError::io("remove a failed sandbox", e))?;
        }
        let record = made?;
        let uid = record.config.pod_uid.clone();
        let pod = Pod { dir: dir.clone(), record, containers: Default::default() };
        self.inner.pods.lock().insert(id, pod.clone());
        self.watch(&dir, &uid);
        self.weigh_burstable();
        Ok(self.status_of(&pod))
    }

    /// Says why a pod cannot live here, if it cannot.
    fn allow(&self, config: &SandboxConfig) -> Result<(), RuntimeError> {
        if config.host_network {
            return Ok(());
        }
        if let Isolation::Unavailable { reason } = &self.inner.config.isolation {
            return Err(RuntimeError::Sandbox(format!(
                "this node cannot give a pod its own network ({reason}); only pods with hostNetwork: true run here"
            )));
        }
        if self.inner.config.network.is_none() || self.inner.config.pod_cidr.is_none() {
            return Err(RuntimeError::Sandbox(
                "this node has no pod network; only pods with hostNetwork: true run here".to_owned(),
            ));
        }
        Ok(())
    }

    async fn build(&self, id: &SandboxId, dir: &PodDir, config: SandboxConfig) -> Result<SandboxRecord, RuntimeError> {
        // A directory without record is the rest of an attempt that was killed.
        client::shut_down(dir).await;
        dir.remove().map_err(failed("clear the pod's directory"))?;
        layout::make_private(dir.path()).map_err(failed("make the pod's directory"))?;
        let spec = PodSpec {
            isolate: self.inner.config.isolation.is_available(),
            host_network: config.host_network,
            host_ipc: config.host_ipc,
            hostname: if config.host_network { String::new() } else { config.hostname.clone() },
        };
        record::write(&dir.path().join(POD_FILE), &spec).map_err(failed("write the pod's settings"))?;
        self.launch(dir).await?;
        let ip = if config.host_network { None } else { Some(self.give_network(id, dir).await?) };
        let node_network = shim::namespace_id("self", "net").map_err(failed("look at the node's network"))?;
        let ports = self.open_ports(&config, ip.map(Into::into)).await?;
        self.inner.ports.lock().insert(id.clone(), ports);
        let record = SandboxRecord { id: id.clone(), config, created_at: now(), ip, node_network, stopped: false };
        dir.write_sandbox(&record).map_err(failed("record the sandbox"))?;
        Ok(record)
    }

    /// Starts the shim and waits until it listens. The process waited for is not the shim but the one that made it.
    async fn launch(&self, dir: &PodDir) -> Result<(), RuntimeError> {
        let mut command = std::process::Command::new(&self.inner.config.shim_exe);
        command.arg0(SHIM_NAME).arg(dir.path()).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = tokio::process::Command::from(command).output().await.map_err(failed("start the shim"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(RuntimeError::Sandbox(format!("start the shim: {} {text}", output.status)))
    }

    async fn give_network(&self, id: &SandboxId, dir: &PodDir) -> Result<Ipv4Addr, RuntimeError> {
        let (Some(network), Some(range)) = (&self.inner.config.network, self.inner.config.pod_cidr) else {
            return Err(RuntimeError::Sandbox("this node has no pod network".to_owned()));
        };
        let ip = self.inner.pool.lock().as_mut().and_then(|pool| pool.allocate(id.as_str()));
        let ip = ip.ok_or_else(|| RuntimeError::Sandbox(format!("no address left in the pod range {range}")))?;
        let shim = dir.shim().map_err(failed("read the shim's record"))?;
        let pid = shim.ok_or_else(|| RuntimeError::Sandbox("the shim left no record".to_owned()))?.pid;
        let namespace = shim::namespace(&pid.to_string(), "net").map_err(failed("open the pod's network"))?;
        network.plug(id.as_str(), namespace, ip, range).await.map_err(failed("set up the pod's network"))?;
        Ok(ip)
    }

    async fn free_network(&self, id: &SandboxId) {
        let ports = self.inner.ports.lock().remove(id);
        if let Some(ports) = ports {
            ports.close().await;
        }
        if let Some(network) = &self.inner.config.network
            && let Err(error) = network.unplug(id.as_str()).await
        {
            // The link goes with its namespace anyway.
            tracing::warn!(sandbox = %id, %error, "unplug");
        }
        if let Some(pool) = self.inner.pool.lock().as_mut() {
            pool.release(id.as_str());
        }
    }

    pub(super) async fn end_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let _turn = self.lock(id.as_str()).await;
        let Ok(pod) = self.pod(id) else { return Ok(()) };
        if pod.record.stopped {
            return Ok(());
        }
        client::shut_down(&pod.dir).await;
        self.limits().forget_pod(&pod.record.config);
        self.free_network(id).await;
        let record = SandboxRecord { stopped: true, ..pod.record };
        match pod.dir.write_sandbox(&record) {
            // Another process that looks after the same folder removed the sandbox meanwhile: it is more than stopped.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.map_err(|e| RuntimeError::io("record the stopped sandbox", e))?,
        }
        let uid = record.config.pod_uid.clone();
        if let Some(pod) = self.inner.pods.lock().get_mut(id) {
            pod.record = record;
        }
        self.weigh_burstable();
        self.announce(&uid);
        Ok(())
    }

    pub(super) async fn resize_sandbox(&self, id: &SandboxId, limits: &PodLimits) -> Result<(), RuntimeError> {
        let _turn = self.lock(id.as_str()).await;
        let mut pod = self.pod(id)?;
        self.limits().update_pod(&pod.record.config, limits)?;
        pod.record.config.limits = Some(limits.clone());
        pod.dir.write_sandbox(&pod.record).map_err(|e| RuntimeError::io("record the sandbox", e))?;
        if let Some(known) = self.inner.pods.lock().get_mut(id) {
            known.record = pod.record;
        }
        self.weigh_burstable();
        Ok(())
    }

    /// Gives the burstable pods together the weight of what they request.
    fn weigh_burstable(&self) {
        let pods = self.inner.pods.lock();
        let alive = pods.values().filter(|pod| !pod.record.stopped && pod.record.config.qos_class == "Burstable");
        let requests = alive.filter_map(|pod| pod.record.config.limits.as_ref()?.cpu_request_millis);
        let sum = requests.sum();
        drop(pods);
        if let Err(error) = self.limits().weigh_burstable(sum) {
            tracing::warn!(%error, "the weight of the burstable pods");
        }
    }

    pub(super) async fn forget_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.end_sandbox(id).await?;
        let _turn = self.lock(id.as_str()).await;
        let Ok(pod) = self.pod(id) else { return Ok(()) };
        pod.dir.remove().map_err(|e| RuntimeError::io("remove the pod's directory", e))?;
        self.inner.pods.lock().remove(id);
        self.inner.locks.lock().remove(id.as_str());
        self.announce(&pod.record.config.pod_uid);
        Ok(())
    }

    pub(super) fn status_of(&self, pod: &Pod) -> SandboxStatus {
        let record = &pod.record;
        let config = &record.config;
        // A pod's link ends in the node's namespace: when that is another one now, the pod is cut off.
        let connected =
            config.host_network || shim::namespace_id("self", "net").is_ok_and(|n| n == record.node_network);
        let ready = !record.stopped && connected && pod.dir.shim_is_alive();
        SandboxStatus {
            id: record.id.clone(),
            pod_uid: config.pod_uid.clone(),
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            attempt: config.attempt,
            state: if ready { SandboxState::Ready } else { SandboxState::NotReady },
            created_at: record.created_at,
            ips: record.ip.map(Into::into).into_iter().collect(),
            host_network: config.host_network,
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        }
    }
}
