//! The folder that holds a cluster.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::args::ClusterArgs;

/// Where the parts of a cluster lie.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The folder that the flags name, made with mode 0700 if it is missing.
    ///
    /// # Errors
    /// When it cannot be made or written to.
    pub fn open(args: &ClusterArgs) -> anyhow::Result<Self> {
        let path = Self::named(args)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).with_context(|| {
            format!("the data folder {} cannot be made; choose another with --data-dir", path.display())
        })?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).with_context(|| {
            format!("the data folder {} is not yours; choose another with --data-dir", path.display())
        })?;
        let path = path.canonicalize().with_context(|| format!("the data folder {}", path.display()))?;
        let probe = path.join(".writable");
        fs::write(&probe, b"").with_context(|| {
            format!("the data folder {} is not writable; choose another with --data-dir", path.display())
        })?;
        let _ = fs::remove_file(probe);
        Ok(Self(path))
    }

    /// The folder that the flags name, made or not.
    ///
    /// # Errors
    /// When no flag names one and there is no home folder.
    pub fn named(args: &ClusterArgs) -> anyhow::Result<PathBuf> {
        if let Some(path) = &args.data_dir {
            return Ok(path.clone());
        }
        if is_machine_root() {
            return Ok(PathBuf::from("/var/lib/orc"));
        }
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let home = home.context("there is no home folder (HOME is not set); name a folder with --data-dir")?;
        Ok(Path::new(&home).join(".local/share/orc"))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The certificates.
    pub fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// What a node keeps: volumes, logs, and its runtime's records.
    pub fn node(&self, name: &str) -> PathBuf {
        self.0.join("nodes").join(name)
    }

    /// The administrator's kubeconfig, where no flag says otherwise.
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }
}

/// Whether this is root of the machine, and not an ordinary user who is root of a user namespace (as `orc up` is after it
/// has executed itself again).
fn is_machine_root() -> bool {
    let everybody = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    rustix::process::geteuid().is_root() && fs::read_to_string("/proc/self/uid_map").is_ok_and(everybody)
}
