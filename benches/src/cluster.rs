//! A cluster of the built binary, in a folder of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use orc_api::remote::Kubeconfig;
use tempfile::TempDir;

use crate::process::{self, Weight};

/// A running cluster. Dropping it ends all its processes.
pub struct Cluster {
    /// Where the API listens.
    pub address: SocketAddr,
    binary: PathBuf,
    process: Child,
    folder: TempDir,
}

impl Cluster {
    /// Starts `orc up` and waits for its ready line. `dir` is a folder on the disk that keeps the data.
    ///
    /// # Errors
    /// When it ends before it is ready; its log is in the message.
    pub fn up(orc: &Path, dir: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(dir)?;
        let binary = folder.path().canonicalize()?.join("orc");
        fs::copy(orc, &binary).with_context(|| format!("{}: build it first", orc.display()))?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = fs::File::create(folder.path().join("log"))?;
        let process = Command::new(&binary)
            .args(["up", "--listen", &address.to_string(), "--data-dir"])
            .arg(folder.path().join("data"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut cluster = Self { address, binary, process, folder };
        let out = cluster.process.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next().transpose()? {
            if line.starts_with("ready: ") {
                // The pipe must stay open and empty, or the cluster's next line would end it.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(cluster);
            }
        }
        let log = fs::read_to_string(cluster.folder.path().join("log")).unwrap_or_default();
        bail!("orc up ended before it was ready: {log}")
    }

    /// The administrator's way in.
    ///
    /// # Errors
    /// When the kubeconfig does not read.
    pub fn kubeconfig(&self) -> anyhow::Result<Kubeconfig> {
        Ok(Kubeconfig::read(&self.folder.path().join("data/kubeconfig"))?)
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<i32> {
        process::running(&self.binary)
    }

    /// What all its processes weigh now.
    pub fn weight(&self) -> Weight {
        process::weigh(&process::running(&self.binary))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        process::end_all(&self.binary);
        let _ = self.process.wait();
    }
}
