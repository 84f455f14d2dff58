//! A real cluster for tests: the built binary in a folder of its own, driven by the real kubectl.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// The longest a cluster may take to do anything on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// An ordinary user that every Linux has.
const NOBODY: u32 = 65534;

/// Who runs the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum As {
    /// Whoever runs the test.
    Me,
    /// An ordinary user; only root can switch to one.
    Nobody,
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A cluster and its folder. Ends with everything in it when dropped.
pub struct Cluster {
    pub folder: TempDir,
    pub url: String,
    /// What the last start wrote to standard output before its ready line.
    pub said: String,
    process: Child,
    user: As,
    listen: SocketAddr,
    flags: Vec<String>,
    // One cluster at a time: root's clusters share the host's network. A server beside another has no lock of its own.
    _alone: Option<File>,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready.
    pub fn up(user: As, flags: &[&str]) -> Self {
        Self::start(user, flags, Some(lock()))
    }

    /// Starts another server of the same cluster; without nodes of its own, so that they do not share the host's network.
    pub fn beside(&self, flags: &[&str]) -> Self {
        assert!(flags.contains(&"--nodes") && flags.contains(&"0"), "a server beside another has no nodes");
        Self::start(self.user, flags, None)
    }

    fn start(user: As, flags: &[&str], alone: Option<File>) -> Self {
        let folder = TempDir::new_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        if user == As::Nobody && is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        // The ordinary user may not look into the target folder.
        let binary = folder.path().join("orc");
        std::fs::copy(env!("CARGO_BIN_EXE_orc"), &binary).unwrap();
        let listen = free_address();
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let process = spawn(user, &binary, folder.path(), listen, &flags);
        let (url, said) = Default::default();
        let mut cluster = Self { folder, url, said, process, user, listen, flags, _alone: alone };
        cluster.url = cluster.wait_ready();
        cluster
    }

    fn wait_ready(&mut self) -> String {
        let out = self.process.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Some(rest) = line.strip_prefix("ready: ") {
                self.said = seen.join("\n");
                return rest.split(' ').next().unwrap().to_owned();
            }
            seen.push(line);
        }
        panic!("the cluster did not become ready; it said:\n{}\n{}", seen.join("\n"), self.log());
    }

    /// What the cluster wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("kubeconfig")
    }

    /// Kills the control plane as a crash would, in all its processes; the pods stay.
    pub fn kill(&mut self) {
        for pid in orc_processes(self.folder.path()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    /// Starts the control plane again over the same folder.
    pub fn again(&mut self) {
        let binary = self.folder.path().join("orc");
        self.process = spawn(self.user, &binary, self.folder.path(), self.listen, &self.flags);
        self.url = self.wait_ready();
    }

    /// Runs kubectl.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_with(args, "")
    }

    /// Runs kubectl with a text on standard input.
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new("kubectl")
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is needed: tools/test setup installs it");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns what it said.
    pub fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, "")
    }

    /// As [`Cluster::ok`], with a text on standard input.
    pub fn ok_with(&self, args: &[&str], input: &str) -> String {
        let output = self.kubectl_with(args, input);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "kubectl {args:?}: {err}\n{out}\n{}", self.tail());
        out
    }

    /// Runs kubectl, which must fail, and returns what it said.
    pub fn refused(&self, args: &[&str], input: &str) -> String {
        let output = self.kubectl_with(args, input);
        assert!(!output.status.success(), "kubectl {args:?} succeeded: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Waits until a command's output satisfies a predicate.
    pub fn until(&self, args: &[&str], what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        wait_for(what, || {
            let output = self.kubectl(args);
            last = text(&output.stdout) + &text(&output.stderr);
            holds(&last).then(|| last.clone())
        })
        .unwrap_or_else(|| panic!("{what}: never held; last:\n{last}\n{}", self.tail()))
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("--- log of orc ---\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
        // A clean stop ends the pods and takes the network away.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        // What is left after a crash ends the hard way.
        for pid in processes_below(self.folder.path()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lock() -> File {
    let file = File::create("/tmp/orc-cluster-tests.lock").unwrap();
    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o666));
    flock(&file, FlockOperation::LockExclusive).unwrap();
    file
}

fn spawn(user: As, binary: &Path, folder: &Path, listen: SocketAddr, flags: &[String]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = if user == As::Nobody && is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command
        .args(["up", "--log", "info", "--data-dir"])
        .arg(folder.join("data"))
        .args(["--listen", &listen.to_string()])
        .args(flags)
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Processes whose command line names the folder.
fn processes_below(folder: &Path) -> Vec<u32> {
    let needle = folder.to_string_lossy().into_owned();
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && command_line(*pid).contains(&needle)).collect()
}

/// The processes of the control plane itself: `orc up`, without and within its namespaces.
fn orc_processes(folder: &Path) -> Vec<u32> {
    let up = |pid: &u32| command_line(*pid).split('\0').nth(1) == Some("up");
    processes_below(folder).into_iter().filter(up).collect()
}

fn command_line(pid: u32) -> String {
    std::fs::read(format!("/proc/{pid}/cmdline")).map(|bytes| text(&bytes)).unwrap_or_default()
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A node port that nobody listens on.
pub fn free_node_port() -> u16 {
    (30100..32700)
        .step_by(7)
        .map(|port| port + (std::process::id() % 7) as u16)
        .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Tries until there is a value or patience ends.
pub fn wait_for<T>(_what: &str, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The body of `GET /` at an address.
pub fn get(address: &str) -> std::io::Result<String> {
    get_path(address, "/")
}

/// The body of `GET` of a path at an address.
pub fn get_path(address: &str, path: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").as_bytes())?;
    let answer = std::io::read_to_string(stream)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("not a 200 answer: {answer:?}"))),
    }
}
