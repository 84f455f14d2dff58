//! The whole of it as an ordinary user: enter the namespaces, run a pod, be killed, come back.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use orc_runtime::pod_net::{InstanceId, Network};
use orc_runtime::process::{ProcessConfig, ProcessRuntime};
use orc_runtime::rootless::{Enter, Entered, enter_if_needed};
use orc_runtime::runtime::*;
use support::{eventually, shell};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// `nobody`: an ordinary user that every machine has.
const USER: u32 = 65534;
const NAME: &str = "orc-rootless-test";

/// This binary under another name is the program under test: `<name> <data dir> <command>`.
fn before_main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments[0] != NAME {
        return;
    }
    let data_dir = PathBuf::from(&arguments[1]);
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let entered = enter_if_needed(&Enter { data_dir: data_dir.clone(), listen }).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let code = tokio.block_on(inside(entered, &data_dir, &arguments[2]));
    std::process::exit(code);
}

async fn inside(entered: Entered, data_dir: &Path, command: &str) -> i32 {
    println!("isolation: {}", entered.isolation);
    if !entered.isolation.is_available() {
        return 0;
    }
    let range = "10.98.7.0/24".parse().unwrap();
    let network = Network::start(InstanceId::of(data_dir.to_str().unwrap())).await.unwrap();
    let mut config = ProcessConfig::new(data_dir.join("node")).with_network(Arc::new(network), range);
    config.isolation = entered.isolation.clone();
    let runtime = ProcessRuntime::new(config).await.unwrap();
    let sandbox = SandboxConfig {
        pod_uid: "p".into(),
        hostname: "p".into(),
        log_directory: data_dir.join("logs"),
        ..Default::default()
    };
    let known = runtime.list_sandboxes().await.unwrap().len();
    let sandbox = runtime.run_sandbox(&sandbox).await.unwrap();
    let script = "touch /etc/new /root-file && rm /etc/hostname; id -u; exec python3 -m http.server 8080";
    let hosts = data_dir.join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost p\n").unwrap();
    let mount = Mount { host_path: hosts, container_path: "/etc/hosts".into(), readonly: true, ..Default::default() };
    let config = ContainerConfig {
        mounts: vec![mount],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..shell("c", script)
    };
    let id = runtime.create_container(&sandbox.id, &config).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    let status = runtime.container_status(&id).await.unwrap();
    let state = (sandbox.state, status.state, status.pid);
    println!("known {known} state {state:?}");
    eventually("the pod answers inside", || async {
        tokio::net::TcpStream::connect((sandbox.ips[0], 8080)).await.ok()
    })
    .await;
    let script = ["sh", "-c", "hostname; ls /root-file"].map(str::to_owned);
    let out = runtime.exec_sync(&id, &script, Duration::ZERO).await.unwrap();
    println!("exec {:?}", String::from_utf8_lossy(&out.stdout));
    let refused = runtime
        .create_container(
            &sandbox.id,
            &ContainerConfig { run_as: RunAs { user: Some(77), ..Default::default() }, ..shell("other", "id") },
        )
        .await;
    println!("user 77: {}", refused.unwrap_err());
    let port = entered.host_ports.listen_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let api = entered.listeners.into_iter().next().unwrap();
    let addresses = [api.local_addr().unwrap(), port.local_addr().unwrap()];
    println!("listening {} {}", addresses[0], addresses[1]);
    // Out through the relay, in through the inherited socket: both ends are in the host's network.
    let mut own = entered.host_ports.connect_tcp(addresses[0]).await.unwrap();
    api.set_nonblocking(true).unwrap();
    let api = tokio::net::TcpListener::from_std(api).unwrap();
    let (mut accepted, _) = api.accept().await.unwrap();
    own.write_all(b"!").await.unwrap();
    accepted.read_u8().await.unwrap();
    port.set_nonblocking(true).unwrap();
    let port = tokio::net::TcpListener::from_std(port).unwrap();
    let mut stopped = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    println!("ready");
    if command == "end" {
        runtime.stop_container(&id, Duration::from_secs(5)).await.unwrap();
        runtime.remove_sandbox(&sandbox.id).await.unwrap();
        return 5;
    }
    loop {
        let mut stream = tokio::select! {
            Ok((stream, _)) = api.accept() => stream,
            Ok((stream, _)) = port.accept() => stream,
            _ = stopped.recv() => return 9,
        };
        let mut pod = tokio::net::TcpStream::connect((sandbox.ips[0], 8080)).await.unwrap();
        tokio::io::copy_bidirectional(&mut stream, &mut pod).await.unwrap();
    }
}

struct Program {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn start(program: &Path, data_dir: &Path, command: &str) -> Self {
        let mut start = Command::new(program);
        start.arg0(NAME).arg(data_dir).arg(command).current_dir("/").stdout(Stdio::piped());
        if rustix::process::getuid().is_root() {
            start.uid(USER).gid(USER);
        }
        let mut child = start.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The rest of the next line, which must begin so.
    fn line(&mut self, begin: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.strip_prefix(begin).unwrap_or_else(|| panic!("{line:?} does not begin with {begin:?}")).trim().to_owned()
    }

    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Leaves no process behind when the test fails.
struct Sweep(PathBuf);

impl Drop for Sweep {
    fn drop(&mut self) {
        for file in ["holder.json", "node/pods/p-0/shim.json"] {
            let Ok(text) = std::fs::read_to_string(self.0.join(file)) else { continue };
            let record: serde_json::Value = serde_json::from_str(&text).unwrap();
            let pid = record["pid"].as_i64().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).unwrap();
    stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_ordinary_user_runs_pods_and_finds_them_again_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    set_mode(dir.path());
    let program = dir.path().join("program");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    set_mode(&program);
    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&data_dir, Some(USER), Some(USER)).unwrap();
    }

    let _sweep = Sweep(data_dir.clone());
    let mut first = Program::start(&program, &data_dir, "stay");
    let isolation = first.line("isolation: ");
    if isolation.starts_with("none") {
        eprintln!("skipped: {isolation}");
        return;
    }
    assert_eq!(isolation, "namespaces (user namespace)");
    let state = first.line("known 0 state ");
    assert!(state.starts_with("(Ready, Running, Some("), "{state}");
    assert_eq!(first.line("exec "), "\"p\\n/root-file\\n\"");
    assert!(first.line("user 77: ").contains("/etc/subuid"));
    let addresses = first.line("listening ");
    first.line("ready");
    for address in addresses.split(' ') {
        assert!(get(address).starts_with("HTTP/1.0 200"), "{address}");
    }
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    let mut second = Program::start(&program, &data_dir, "stay");
    second.line("isolation: ");
    assert_eq!(second.line("known 1 state "), state, "the same process still runs");
    for begin in ["exec ", "user 77: ", "listening ", "ready"] {
        second.line(begin);
    }
    // A signal passes the relay, and the exit code comes back.
    let pid = rustix::process::Pid::from_raw(second.child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(second.code(), Some(9));

    let mut third = Program::start(&program, &data_dir, "end");
    third.line("isolation: ");
    assert_eq!(third.line("known 1 state "), state);
    assert_eq!(third.code(), Some(5));
    orc_runtime::rootless::release(&data_dir).unwrap();
}
