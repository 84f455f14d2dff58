//! A real etcd process for tests, or a cluster of them.

mod certificates;
mod machine;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::machine::{free_ports, halted, missing};
use crate::backend::{EtcdConfig, Pem};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Starts that are tried: a port that was free may be taken before etcd has it.
const TRIES: u32 = 5;

/// How to start etcd.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// Serve with TLS and ask clients for certificates; see [`EtcdServer::config`].
    pub tls: bool,
    /// `--quota-backend-bytes`; etcd's own (2 GB) when `None`.
    pub quota_bytes: Option<u64>,
    /// Where to keep the data; in memory (`/dev/shm`) where there is such a folder when `None`. On a disk it is slower, since
    /// etcd syncs each write, and only of interest to who measures that.
    pub folder: Option<PathBuf>,
}

/// A running etcd, usually a cluster by itself, with data of its own. It is killed, and its data removed, when this is dropped.
#[derive(Debug)]
pub struct EtcdServer {
    child: Option<Child>,
    folder: TempDir,
    options: EtcdOptions,
    ports: [u16; 3],
    name: String,
    /// `--initial-cluster`.
    members: String,
}

impl EtcdServer {
    /// Starts etcd without TLS and waits until it serves.
    ///
    /// # Errors
    /// What to install when etcd is not there; etcd's last words when it does not come up.
    pub async fn start() -> Result<Self, String> {
        Self::start_with(EtcdOptions::default()).await
    }

    /// Starts etcd and waits until it serves.
    ///
    /// # Errors
    /// As [`EtcdServer::start`].
    pub async fn start_with(options: EtcdOptions) -> Result<Self, String> {
        Ok(Self::members(1, &options).await?.remove(0))
    }

    /// Starts a cluster of so many members and waits until each serves.
    ///
    /// # Errors
    /// As [`EtcdServer::start`].
    pub async fn cluster(members: usize) -> Result<Vec<Self>, String> {
        Self::members(members, &EtcdOptions::default()).await
    }

    async fn members(count: usize, options: &EtcdOptions) -> Result<Vec<Self>, String> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let mut servers = Vec::new();
            for number in 0..count {
                servers.push(Self::prepare(format!("m{number}"), options)?);
            }
            let urls: Vec<String> = servers.iter().map(|one| format!("{}={}", one.name, one.peer())).collect();
            match Self::bring_up(&mut servers, &urls.join(",")).await {
                Err(error) if tries > 0 && error.contains("address already in use") => {}
                other => return other.map(|()| servers),
            }
        }
    }

    /// All at once: a member serves when it has met the others.
    async fn bring_up(servers: &mut [Self], members: &str) -> Result<(), String> {
        for server in servers.iter_mut() {
            members.clone_into(&mut server.members);
            server.child = Some(server.spawn()?);
        }
        for server in servers {
            server.serving().await?;
        }
        Ok(())
    }

    fn prepare(name: String, options: &EtcdOptions) -> Result<Self, String> {
        let memory = Path::new("/dev/shm");
        let folder = match &options.folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None if memory.is_dir() => tempfile::tempdir_in(memory),
            None => tempfile::tempdir(),
        };
        let folder = folder.map_err(|error| format!("no folder for etcd: {error}"))?;
        if options.tls {
            certificates::write(folder.path())?;
        }
        let (options, ports) = (options.clone(), free_ports()?);
        Ok(Self { child: None, folder, options, ports, name, members: String::new() })
    }

    /// The client address.
    pub fn endpoints(&self) -> Vec<String> {
        vec![format!("{}://127.0.0.1:{}", self.scheme(), self.ports[0])]
    }

    /// How to reach it, with certificates if it wants them.
    pub fn config(&self) -> EtcdConfig {
        let mut config = EtcdConfig::new(self.endpoints());
        if self.options.tls {
            let file = |name| Some(Pem::File(self.file(name)));
            (config.ca, config.cert, config.key) = (file("ca.pem"), file("client.pem"), file("client.key"));
        }
        config
    }

    /// Stops it as an operator would, and waits for its end.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn stop(&mut self) -> Result<(), String> {
        self.signal("TERM")?;
        self.reap();
        Ok(())
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
        }
        self.reap();
    }

    /// Halts the process as it is, and waits until it has halted: connections stay, nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn freeze(&self) -> Result<(), String> {
        self.signal("STOP")?;
        let id = self.child.as_ref().map(Child::id).unwrap_or_default();
        let halted = async {
            while !halted(id) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, halted).await.map_err(|_| "etcd does not halt".to_owned())
    }

    /// Goes on after [`EtcdServer::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<(), String> {
        self.signal("CONT")
    }

    /// Starts it again, on the same ports and data, and waits until it serves. One that runs is killed first.
    ///
    /// # Errors
    /// As [`EtcdServer::start`].
    pub async fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.child = Some(self.spawn()?);
        self.serving().await
    }

    async fn serving(&mut self) -> Result<(), String> {
        let limit = tokio::time::timeout(PATIENCE, async {
            while !self.healthy().await {
                if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                    return Err(format!("etcd ended ({status}): {}", self.last_words()));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        });
        limit.await.unwrap_or_else(|_| Err(format!("etcd does not come up: {}", self.last_words())))
    }

    /// Starts it again without its data, as an etcd that was lost and made anew.
    ///
    /// # Errors
    /// As [`EtcdServer::start`].
    pub async fn wipe(&mut self) -> Result<(), String> {
        self.kill();
        fs::remove_dir_all(self.file("data")).map_err(|error| format!("etcd's data stay: {error}"))?;
        self.restart().await
    }

    /// Runs etcdctl on it and returns what it prints.
    ///
    /// # Errors
    /// What to install when it is not there; what it said when it failed.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.endpoints().join(","));
        if self.options.tls {
            command.arg("--cacert").arg(self.file("ca.pem"));
            command.arg("--cert").arg(self.file("client.pem")).arg("--key").arg(self.file("client.key"));
        }
        let done = command.args(arguments).output().map_err(|error| missing("etcdctl", "etcd-client", &error))?;
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.options.tls { "https" } else { "http" }
    }

    fn peer(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spawn(&self) -> Result<Child, String> {
        let (client, peer) = (self.endpoints().remove(0), self.peer());
        let log = File::create(self.file("log")).map_err(|error| format!("no log for etcd: {error}"))?;
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.file("data")).args(["--name", &self.name]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &self.members]);
        command.arg("--listen-metrics-urls").arg(format!("http://127.0.0.1:{}", self.ports[2]));
        if let Some(quota) = self.options.quota_bytes {
            command.arg("--quota-backend-bytes").arg(quota.to_string());
        }
        if self.options.tls {
            command.arg("--cert-file").arg(self.file("server.pem")).arg("--key-file").arg(self.file("server.key"));
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(self.file("ca.pem"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(|error| missing("etcd", "etcd-server", &error))
    }

    async fn healthy(&self) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[2])).await?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        asked.await.is_ok_and(|answer| answer.contains("200 OK") && answer.contains("true"))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("; ")
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let id = self.child.as_ref().map(Child::id).ok_or("etcd does not run")?;
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("the signal {name} was not sent to etcd: {other:?}")),
        }
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nobody else waits for it.
            let _ = child.wait();
        }
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}
