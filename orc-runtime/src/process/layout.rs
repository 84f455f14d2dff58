//! The directories of a node's pods, and the records in them.
//!
//! ```text
//! <state_dir>/pods/<sandbox id>/sandbox.json    written last when a sandbox is made: without it, there is none
//!                               pod.json        what the shim makes
//!                               shim.json       which process the shim is
//!                               shim.sock       where it listens
//!                               shim.log        what went wrong in it
//!                               shm/            the pod's /dev/shm
//!                               c/<name>-<attempt>/container.json, started.json, exit.json, fs/, root/
//! ```

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::runtime::{ContainerConfig, ContainerId, SandboxConfig, SandboxId};
use crate::shim::protocol::{SHIM_FILE, ShimRecord};
use crate::shim::record;

/// A sandbox as it is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) id: SandboxId,
    pub(crate) config: SandboxConfig,
    pub(crate) created_at: Timestamp,
    pub(crate) ip: Option<Ipv4Addr>,
    /// The network namespace of the node when it was made: a pod's link ends there.
    pub(crate) node_network: u64,
    pub(crate) stopped: bool,
}

/// A container as it is kept on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) id: ContainerId,
    pub(crate) config: ContainerConfig,
    pub(crate) created_at: Timestamp,
}

/// A pod's directory.
#[derive(Debug, Clone)]
pub(crate) struct PodDir(PathBuf);

const SANDBOX_FILE: &str = "sandbox.json";
const CONTAINER_FILE: &str = "container.json";

/// Makes a directory that only its owner may enter.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// How often a folder into which something was written meanwhile is tried again.
const TRIES: usize = 8;

fn remove_tree(path: &Path) -> io::Result<()> {
    let mut tries = 1;
    loop {
        match fs::remove_dir_all(path) {
            // A shim's last words, or another process over the same state: what came is removed as well.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < TRIES => tries += 1,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
    }
}

impl PodDir {
    pub(crate) fn of(state_dir: &Path, id: &SandboxId) -> Self {
        Self(state_dir.join("pods").join(id.as_str()))
    }

    pub(crate) fn all(state_dir: &Path) -> io::Result<Vec<Self>> {
        Ok(entries(&state_dir.join("pods"))?.into_iter().map(Self).collect())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn sandbox(&self) -> io::Result<Option<SandboxRecord>> {
        record::read(&self.0.join(SANDBOX_FILE))
    }

    pub(crate) fn write_sandbox(&self, sandbox: &SandboxRecord) -> io::Result<()> {
        record::write(&self.0.join(SANDBOX_FILE), sandbox)
    }

    pub(crate) fn shim(&self) -> io::Result<Option<ShimRecord>> {
        record::read(&self.0.join(SHIM_FILE))
    }

    pub(crate) fn shim_is_alive(&self) -> bool {
        self.shim().is_ok_and(|shim| shim.is_some_and(|shim| shim.is_alive()))
    }

    pub(crate) fn containers(&self) -> io::Result<Vec<ContainerRecord>> {
        let all = entries(&self.0.join("c"))?;
        all.into_iter().filter_map(|dir| record::read(&dir.join(CONTAINER_FILE)).transpose()).collect()
    }

    pub(crate) fn container(&self, config: &ContainerConfig) -> PathBuf {
        self.0.join("c").join(format!("{}-{}", config.name, config.attempt))
    }

    pub(crate) fn write_container(&self, container: &ContainerRecord) -> io::Result<()> {
        let dir = self.container(&container.config);
        make_private(&dir)?;
        record::write(&dir.join(CONTAINER_FILE), container)
    }

    pub(crate) fn remove_container(&self, config: &ContainerConfig) -> io::Result<()> {
        remove_tree(&self.container(config))
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        // The record goes first: a half removed sandbox does not exist.
        match fs::remove_file(self.0.join(SANDBOX_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        remove_tree(&self.0)
    }
}
