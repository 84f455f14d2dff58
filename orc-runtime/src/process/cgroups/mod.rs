//! Limits of CPU, memory and processes, by cgroup v2.
//!
//! ```text
//! <hierarchy>/orc/<node>/                   all pods of a node
//!     pod<uid>/                             Guaranteed
//!     burstable/pod<uid>/                   as the kubelet divides them, so that a pod without requests
//!     besteffort/pod<uid>/                  cannot crowd out those with
//!         <container id>/                   the container's processes, exec'd ones too
//! ```
//!
//! The runtime makes the directories and writes the limits before a container starts; the container's init enters it
//! first of all. Where that cannot be done (cgroup v1, no rights) the node says so once, and runs pods without limits.

mod values;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pod_net::InstanceId;
use crate::runtime::{ContainerResources, PodLimits, RuntimeError, SandboxConfig};

/// Without these two there is no sense in it.
const NEEDED: [&str; 2] = ["cpu", "memory"];
/// Used where it is there.
const WISHED: &str = "pids";

/// Whether limits are enforced, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limits {
    /// In cgroups below this directory, which the node has for itself.
    Cgroups(PathBuf),
    /// Not at all.
    Unenforced {
        /// Why, and what would help.
        reason: String,
    },
}

impl Limits {
    /// Looks for a cgroup v2 hierarchy that this process may use. `state_dir` tells the nodes of a machine apart.
    pub fn detect(state_dir: &Path) -> Self {
        let found = hierarchy().and_then(|(root, own)| {
            let parent = [root.clone(), own].into_iter().find(|parent| may_write(parent));
            let parent = parent.ok_or_else(|| format!("{} may not be written by this user", root.display()))?;
            offers_enough(&parent)?;
            Ok(parent)
        });
        match found {
            Ok(parent) => {
                let node = InstanceId::of(&state_dir.to_string_lossy());
                Self::Cgroups(parent.join("orc").join(node.to_string()))
            }
            Err(reason) => Self::Unenforced { reason },
        }
    }

    /// Makes the node's own directory and hands the controllers down to it; what fails becomes the reason.
    pub(super) fn prepared(self) -> Self {
        let Self::Cgroups(base) = self else { return self };
        match make_with_parents(&base) {
            Ok(()) => Self::Cgroups(base),
            Err(error) => Self::Unenforced { reason: format!("{}: {error}", base.display()) },
        }
    }

    /// The directory of a container that is about to start, with its limits; `None` where there are none.
    pub(super) fn container(
        &self,
        sandbox: &SandboxConfig,
        id: &str,
        resources: &ContainerResources,
    ) -> Result<Option<PathBuf>, RuntimeError> {
        let Some(pod) = self.pod_dir(sandbox) else { return Ok(None) };
        let made = || -> io::Result<PathBuf> {
            make_with_parents(&pod)?;
            write_all(&pod, values::of_pod(sandbox.limits.as_ref().unwrap_or(&PodLimits::default())))?;
            let dir = pod.join(id);
            make(&dir)?;
            limit(&dir, resources)?;
            Ok(dir)
        };
        made().map(Some).map_err(|error| RuntimeError::Create(format!("failed to create cgroup {id}: {error}")))
    }

    /// Writes new limits of a container that runs.
    pub(super) fn update(
        &self,
        sandbox: &SandboxConfig,
        id: &str,
        resources: &ContainerResources,
    ) -> Result<(), RuntimeError> {
        match (self, self.pod_dir(sandbox)) {
            (Self::Cgroups(_), Some(pod)) => limit(&pod.join(id), resources)
                .map_err(|error| RuntimeError::io(format!("change the limits of container {id}"), error)),
            (other, _) => Err(RuntimeError::Unsupported(other.to_string())),
        }
    }

    /// Writes new limits of a pod as a whole.
    pub(super) fn update_pod(&self, sandbox: &SandboxConfig, limits: &PodLimits) -> Result<(), RuntimeError> {
        match (self, self.pod_dir(sandbox)) {
            (Self::Cgroups(_), Some(pod)) => write_all(&pod, values::of_pod(limits))
                .map_err(|error| RuntimeError::io(format!("change the limits of pod {}", sandbox.name), error)),
            (other, _) => Err(RuntimeError::Unsupported(other.to_string())),
        }
    }

    /// The weight of all burstable pods together: what they request.
    pub(super) fn weigh_burstable(&self, millis: u64) -> io::Result<()> {
        let Self::Cgroups(base) = self else { return Ok(()) };
        let dir = base.join("burstable");
        make(&dir)?;
        write(&dir, "cpu.weight", &values::cpu_weight(Some(millis)))
    }

    /// Takes the directory of an ended container away.
    pub(super) fn forget_container(&self, sandbox: &SandboxConfig, id: &str) {
        if let Some(pod) = self.pod_dir(sandbox) {
            remove(&pod.join(id));
        }
    }

    /// Takes the directories of an ended pod away.
    pub(super) fn forget_pod(&self, sandbox: &SandboxConfig) {
        let Some(pod) = self.pod_dir(sandbox) else { return };
        for entry in fs::read_dir(&pod).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        remove(&pod);
    }

    fn pod_dir(&self, sandbox: &SandboxConfig) -> Option<PathBuf> {
        let Self::Cgroups(base) = self else { return None };
        let class = match sandbox.qos_class.as_str() {
            "Burstable" => base.join("burstable"),
            "BestEffort" => base.join("besteffort"),
            _ => base.clone(),
        };
        Some(class.join(format!("pod{}", sandbox.pod_uid)))
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroups(base) => write!(f, "limits are enforced in {}", base.display()),
            Self::Unenforced { reason } => {
                write!(f, "limits of CPU and memory are recorded, not enforced, on this node: {reason}")
            }
        }
    }
}

/// Where cgroup v2 is mounted, and the directory of this process in it.
fn hierarchy() -> Result<(PathBuf, PathBuf), String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mounts = read("/proc/self/mountinfo")?;
    let root = mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        back.starts_with("cgroup2 ").then(|| front.split(' ').nth(4)).flatten().map(PathBuf::from)
    });
    let root = root.ok_or("no cgroup v2 hierarchy is mounted")?;
    let own = read("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    Ok((root.clone(), root.join(own)))
}

fn may_write(dir: &Path) -> bool {
    let access = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    access(dir) && access(&dir.join("cgroup.subtree_control"))
}

fn controllers(dir: &Path) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(dir.join("cgroup.controllers"))?.split_whitespace().map(str::to_owned).collect())
}

fn offers_enough(dir: &Path) -> Result<(), String> {
    let have = controllers(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| have.iter().all(|have| have != name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (missing, at) = (missing.join(" and "), dir.display());
    Err(format!(
        "the cgroup v2 hierarchy at {at} has no controller {missing} (cgroup v1 may hold it, or it is not delegated)"
    ))
}

/// Makes a directory below the node's own, each level handing its controllers on to the next.
fn make_with_parents(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    for level in missing.into_iter().rev() {
        if let Some(parent) = level.parent() {
            hand_down(parent)?;
        }
        make(level)?;
    }
    hand_down(dir)
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Lets the children of a directory have limits of their own.
fn hand_down(dir: &Path) -> io::Result<()> {
    let have = match controllers(dir) {
        // Not a cgroup: a directory that a test stands in for one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let wanted: Vec<String> = NEEDED
        .into_iter()
        .chain([WISHED])
        .filter(|name| have.iter().any(|have| have == name))
        .map(|name| format!("+{name}"))
        .collect();
    write(dir, "cgroup.subtree_control", &wanted.join(" "))
}

fn limit(dir: &Path, resources: &ContainerResources) -> io::Result<()> {
    write_all(dir, values::of_container(resources))?;
    // A limit of memory that swapping goes around would be none (`swapBehavior: NoSwap`). Absent without swap.
    let swap = "memory.swap.max";
    if dir.join(swap).exists() { write(dir, swap, "0") } else { Ok(()) }
}

fn write_all(dir: &Path, values: values::Values) -> io::Result<()> {
    values.into_iter().try_for_each(|(file, value)| write(dir, file, &value))
}

fn write(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = dir.join(file);
    fs::write(&path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("write {value:?} to {}: {error}", path.display())))
}

/// Best effort: one that a process has not quite left goes with its pod, and costs next to nothing until then.
fn remove(dir: &Path) {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(dir = %dir.display(), %error, "a cgroup stays");
        }
        _ => {}
    }
}
