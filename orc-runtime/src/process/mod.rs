//! The `process` runtime: pods as isolated processes on the host's own file system. No daemon, no images.
//!
//! Image `host` is the file system of the host under a fresh overlay; there is no other. Each pod is held by a
//! [shim](crate::shim) and described by a directory, so a runtime is only a view: made again over the same directory,
//! it finds the same pods with the same process ids. See `docs/design/process-runtime.md`.
//!
//! It isolates programs from each other's files, processes and ports, not the host from a hostile program. Limits of
//! CPU, memory and processes are enforced where cgroup v2 can be used ([`Limits`]); elsewhere the node says so.

mod cgroups;
mod client;
mod config;
mod container;
mod environment;
mod host_port;
mod identity;
mod images;
mod layout;
mod logs;
mod observe;
mod pty;
mod sandbox;
mod stats;
mod streams;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;

pub use cgroups::Limits;
pub use config::{Isolation, ProcessConfig};
pub use images::HOST_IMAGE;

use crate::pod_net::IpPool;
use crate::runtime::{ContainerId, Event, RuntimeError, SandboxId};
use layout::{ContainerRecord, PodDir, SandboxRecord};

/// Events that a slow reader may lag behind before it is told that it missed some.
const EVENT_BACKLOG: usize = 1024;

/// The runtime of one node. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct ProcessRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    config: ProcessConfig,
    pool: Mutex<Option<IpPool>>,
    pods: Mutex<BTreeMap<SandboxId, Pod>>,
    ports: Mutex<BTreeMap<SandboxId, host_port::OpenPorts>>,
    locks: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    events: broadcast::Sender<Event>,
}

#[derive(Clone)]
struct Pod {
    dir: PodDir,
    record: SandboxRecord,
    containers: BTreeMap<ContainerId, ContainerRecord>,
}

impl ProcessRuntime {
    /// A runtime over `config.state_dir`. Pods found there are adopted: those whose shim lives go on, the others are
    /// reported as not ready, and the records of containers that ended meanwhile are read.
    ///
    /// # Errors
    /// A state directory that cannot be read or written, a bridge that cannot get the node's gateway address.
    pub async fn new(mut config: ProcessConfig) -> Result<Self, RuntimeError> {
        let io = |what: &'static str| move |error: io::Error| RuntimeError::io(what, error);
        layout::make_private(&config.state_dir).map_err(io("make the state directory"))?;
        config.limits = config.limits.prepared();
        if let Limits::Unenforced { .. } = &config.limits {
            tracing::warn!("{}", config.limits);
        }
        if let (Some(network), Some(range)) = (&config.network, config.pod_cidr) {
            network.add_range(range).await.map_err(io("put the node's gateway on the bridge"))?;
        }
        let runtime = Self {
            inner: Arc::new(Inner {
                pool: Mutex::new(config.pod_cidr.map(IpPool::new)),
                pods: Mutex::default(),
                ports: Mutex::default(),
                locks: Mutex::default(),
                events: broadcast::channel(EVENT_BACKLOG).0,
                config,
            }),
        };
        runtime.adopt().await.map_err(io("read the state directory"))?;
        Ok(runtime)
    }

    /// What isolates the pods of this runtime.
    pub fn isolation(&self) -> &Isolation {
        &self.inner.config.isolation
    }

    /// Whether limits of CPU and memory are enforced, and where.
    pub fn limits(&self) -> &Limits {
        &self.inner.config.limits
    }

    async fn adopt(&self) -> io::Result<()> {
        for dir in PodDir::all(&self.inner.config.state_dir)? {
            let Some(record) = dir.sandbox()? else {
                // Killed while it was being made: nobody was ever told of it.
                client::shut_down(&dir).await;
                dir.remove()?;
                continue;
            };
            if let (Some(pool), Some(ip)) = (self.inner.pool.lock().as_mut(), record.ip)
                && !record.stopped
            {
                pool.reserve(ip, record.id.as_str());
            }
            let containers = dir.containers()?.into_iter().map(|c| (c.id.clone(), c)).collect();
            let id = record.id.clone();
            self.inner.pods.lock().insert(id, Pod { dir: dir.clone(), record: record.clone(), containers });
            if dir.shim_is_alive() {
                self.watch(&dir, &record.config.pod_uid);
                match self.open_ports(&record.config, record.ip.map(Into::into)).await {
                    Ok(ports) => drop(self.inner.ports.lock().insert(record.id, ports)),
                    Err(error) => tracing::error!(pod = %record.config.name, %error, "host ports of an adopted pod"),
                }
            }
        }
        Ok(())
    }

    fn pod(&self, id: &SandboxId) -> Result<Pod, RuntimeError> {
        self.inner.pods.lock().get(id).cloned().ok_or_else(|| RuntimeError::SandboxNotFound(id.clone()))
    }

    fn container(&self, id: &ContainerId) -> Result<(Pod, ContainerRecord), RuntimeError> {
        let pods = self.inner.pods.lock();
        let found = pods.values().find_map(|pod| Some((pod.clone(), pod.containers.get(id)?.clone())));
        found.ok_or_else(|| RuntimeError::ContainerNotFound(id.clone()))
    }

    /// One change of a pod at a time.
    async fn lock(&self, id: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = self.inner.locks.lock().entry(id.to_owned()).or_default().clone();
        lock.lock_owned().await
    }

    fn announce(&self, pod_uid: &str) {
        // Nobody listening is fine: a subscriber lists first.
        let _ = self.inner.events.send(Event::Pod(pod_uid.to_owned()));
    }

    /// Runs `work` to its end even when the caller goes away.
    async fn whole<T, F>(&self, work: F) -> Result<T, RuntimeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RuntimeError>> + Send + 'static,
    {
        match tokio::spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(RuntimeError::io("the runtime's task failed", io::Error::other(error))),
        }
    }
}
