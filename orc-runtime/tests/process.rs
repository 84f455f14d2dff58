//! The process runtime with real processes.

mod support;

use std::time::Duration;

use futures::StreamExt;
use orc_runtime::runtime::*;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn before_main() {}

#[test]
fn a_container_leaves_its_exit_and_its_log() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let (status, log) = outcome(&node, &runtime, "p", &shell("c", "echo hi; echo no >&2; exit 3")).await;
        assert_eq!((status.exit_code, status.reason.as_str(), status.signal), (Some(3), "Error", None));
        assert!(status.finished_at >= status.started_at);
        let mut lines: Vec<_> = log.lines().map(|l| l.split_once(' ').unwrap()).collect();
        lines.sort_by_key(|(_, rest)| *rest);
        assert_eq!([lines[0].1, lines[1].1], ["stderr F no", "stdout F hi"]);
        assert!(lines[0].0.ends_with('Z') && lines[0].0.len() == 30, "{}", lines[0].0);
    });
}

#[test]
fn pods_have_their_own_network_names_and_processes() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let script =
            "hostname; echo $HOSTNAME; echo $$; cat /proc/self/net/dev | grep -c eth0; ls /proc | grep -c '^[0-9]'";
        let (status, log) = outcome(&node, &runtime, "p", &shell("c", script)).await;
        assert_eq!(status.exit_code, Some(0), "{log}");
        let lines = texts(&log);
        assert_eq!(&lines[..4], ["host-p", "host-p", "2", "1"]);
        assert!(lines[4].parse::<u32>().unwrap() < 8, "{log}");
    });
}

/// A server that says its name. Without a hosts file, python would wait for a name server first.
fn web(node: &Node, name: &str) -> ContainerConfig {
    let script = "exec python3 -c '
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
    def log_message(self, *a): pass
http.server.HTTPServer((\"0.0.0.0\", 8080), H).serve_forever()' ";
    let hosts = node.dir.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost host-a host-b\n").unwrap();
    ContainerConfig {
        mounts: vec![Mount { host_path: hosts, container_path: "/etc/hosts".into(), ..Default::default() }],
        ..shell("web", &format!("{script} {name}"))
    }
}

async fn get(address: (std::net::IpAddr, u16)) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text.rsplit("\r\n").next()?.to_owned())
}

#[test]
fn two_pods_listen_on_one_port_and_are_reached_from_host_and_pod() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let mut ips = Vec::new();
        for name in ["a", "b"] {
            let sandbox = runtime.run_sandbox(&node.sandbox(name)).await.unwrap();
            run(&runtime, &sandbox.id, &web(&node, name)).await;
            ips.push(sandbox.ips[0]);
        }
        for (ip, name) in ips.iter().zip(["a", "b"]) {
            let text = eventually("the server answers", || get((*ip, 8080))).await;
            assert_eq!(text, name);
        }
        let ask =
            format!("python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{}:8080\").read())'", ips[0]);
        let (_, log) = outcome(&node, &runtime, "c", &shell("client", &ask)).await;
        assert_eq!(texts(&log), ["b'a'"]);
        // In the background, holding the pipe: the answer does not wait for it.
        let sh = ["sh", "-c", "sleep 1000 & echo started"].map(str::to_owned);
        let server = runtime.list_containers(None).await.unwrap()[0].id.clone();
        let out = runtime.exec_sync(&server, &sh, Duration::from_secs(30)).await.unwrap();
        assert_eq!(out.stdout, b"started\n");
        // Over the pod's own loopback.
        let sandbox = &runtime.list_sandboxes().await.unwrap()[1];
        let mut forwarded = runtime.port_forward(&sandbox.id, 8080).await.unwrap();
        forwarded.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        forwarded.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with('b'), "{text}");
    });
}

#[test]
fn a_host_port_leads_into_the_pod_and_is_exclusive() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mapping = PortMapping {
            host_port: free.port(),
            container_port: 8080,
            protocol: Protocol::Tcp,
            host_ip: "127.0.0.1".into(),
        };
        let with_port = |name| SandboxConfig { port_mappings: vec![mapping.clone()], ..node.sandbox(name) };
        let sandbox = runtime.run_sandbox(&with_port("a")).await.unwrap();
        run(&runtime, &sandbox.id, &web(&node, "a")).await;
        let answer = || async { get((free.ip(), free.port())).await.filter(|text| !text.is_empty()) };
        assert_eq!(eventually("the host port answers", answer).await, "a");
        let error = runtime.run_sandbox(&with_port("b")).await.unwrap_err();
        assert!(error.to_string().contains(&free.port().to_string()), "{error}");
        assert_eq!(runtime.list_sandboxes().await.unwrap().len(), 1);
        drop(runtime);
        let runtime = node.runtime().await;
        assert_eq!(eventually("an adopted pod's port answers", answer).await, "a");
        runtime.stop_sandbox(&sandbox.id).await.unwrap();
        runtime.run_sandbox(&with_port("c")).await.unwrap();
    });
}

#[test]
fn pods_of_two_nodes_on_one_bridge_reach_each_other() {
    on_a_node(|node| async move {
        let first = node.runtime().await;
        let mut config = node.config();
        config.state_dir = node.dir.path().join("second");
        let octets = node.range.gateway().octets();
        config.pod_cidr = Some(format!("10.{}.{}.0/24", octets[1], octets[2].wrapping_add(1)).parse().unwrap());
        let second = orc_runtime::process::ProcessRuntime::new(config).await.unwrap();
        let sandbox = first.run_sandbox(&node.sandbox("a")).await.unwrap();
        run(&first, &sandbox.id, &web(&node, "far")).await;
        eventually("the server answers", || get((sandbox.ips[0], 8080))).await;
        let ask = format!("import urllib.request as u; print(u.urlopen('http://{}:8080').read())", sandbox.ips[0]);
        let client = ContainerConfig { command: vec!["python3".into(), "-c".into(), ask], ..shell("client", "") };
        let (_, log) = outcome(&node, &second, "b", &client).await;
        assert_eq!(texts(&log), ["b'far'"]);
        second.remove_sandbox(&SandboxId::new("b-0")).await.unwrap();
    });
}

#[test]
fn a_new_runtime_adopts_what_an_old_one_left() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let sandbox = runtime.run_sandbox(&node.sandbox("p")).await.unwrap();
        let stays = run(&runtime, &sandbox.id, &shell("stays", "while :; do sleep 0.1; done")).await;
        let gate = node.dir.path().join("gate");
        std::fs::create_dir(&gate).unwrap();
        let waits = ContainerConfig {
            mounts: vec![Mount { host_path: gate.clone(), container_path: "/gate".into(), ..Default::default() }],
            ..shell("ends", "while [ ! -e /gate/open ]; do sleep 0.05; done; exit 7")
        };
        let ends = run(&runtime, &sandbox.id, &waits).await;
        let pid = runtime.container_status(&stays).await.unwrap().pid;
        drop(runtime);
        std::fs::write(gate.join("open"), "").unwrap();

        let runtime = node.runtime().await;
        let again = runtime.sandbox_status(&sandbox.id).await.unwrap();
        assert_eq!((again.state, &again.ips), (SandboxState::Ready, &sandbox.ips));
        let now = runtime.container_status(&stays).await.unwrap();
        assert_eq!((now.state, now.pid), (ContainerState::Running, pid));
        assert_eq!(ended(&runtime, &ends).await.exit_code, Some(7));
        // Repeated calls find what is there; the address is not given twice.
        assert_eq!(runtime.run_sandbox(&node.sandbox("p")).await.unwrap().id, sandbox.id);
        let other = runtime.run_sandbox(&node.sandbox("q")).await.unwrap();
        assert_ne!(other.ips, sandbox.ips);
        let mut events = runtime.events();
        runtime.stop_container(&stays, Duration::ZERO).await.unwrap();
        while events.next().await.unwrap() != Event::Pod("p".into()) {}
    });
}

#[test]
fn stopping_asks_first_and_kills_after_the_grace() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let sandbox = runtime.run_sandbox(&node.sandbox("p")).await.unwrap();
        let polite = shell("polite", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let deaf = shell("deaf", "trap '' TERM; echo up; while :; do sleep 0.05; done");
        let plain = ContainerConfig { command: vec!["sleep".into(), "1000".into()], ..shell("plain", "") };
        let mut ids = Vec::new();
        for config in [&polite, &deaf, &plain] {
            let id = run(&runtime, &sandbox.id, config).await;
            let log = runtime.container_status(&id).await.unwrap().log_path.unwrap();
            eventually("it is up", || async {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                (text.contains("up") || config.name == "plain").then_some(())
            })
            .await;
            ids.push(id);
        }
        for (id, grace, code, signal) in
            [(&ids[0], 10_000, 0, None), (&ids[1], 300, 137, Some(9)), (&ids[2], 10_000, 143, Some(15))]
        {
            let from = std::time::Instant::now();
            runtime.stop_container(id, Duration::from_millis(grace)).await.unwrap();
            let status = runtime.container_status(id).await.unwrap();
            assert_eq!((status.exit_code, status.signal), (Some(code), signal), "{id}");
            assert_eq!(from.elapsed() >= Duration::from_millis(grace), code == 137, "{id}");
        }
        runtime.stop_container(&ids[0], Duration::from_secs(1)).await.unwrap();
    });
}

#[test]
fn the_hosts_files_stay_as_they_are() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let marker = format!("/etc/orc-test-{}", std::process::id());
        let script = format!(
            "echo x > {marker} && echo y >> /etc/passwd && rm /etc/group && cat {marker} && ls {}",
            node.dir.path().display()
        );
        let before = std::fs::read("/etc/passwd").unwrap();
        let (status, log) = outcome(&node, &runtime, "p", &shell("c", &script)).await;
        // The runtime's own directory is hidden.
        assert_eq!((status.exit_code, texts(&log)), (Some(0), vec!["x", "logs", "runtime"]), "{log}");
        assert!(!std::path::Path::new(&marker).exists());
        assert_eq!(std::fs::read("/etc/passwd").unwrap(), before);
        assert!(std::path::Path::new("/etc/group").exists());
        let hidden = shell("hidden", &format!("ls -A {}", node.dir.path().join("runtime").display()));
        assert_eq!(outcome(&node, &runtime, "q", &hidden).await.1, "");
    });
}

#[test]
fn mounts_appear_where_asked() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let data = node.dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("hosts"), "1.2.3.4 me\n").unwrap();
        let mount = |from: &str, to: &str, readonly| Mount {
            host_path: data.join(from),
            container_path: to.into(),
            readonly,
            ..Default::default()
        };
        let config = ContainerConfig {
            mounts: vec![
                mount("hosts", "/etc/hosts", true),
                mount("", "/var/run/secrets/deep/new", false),
                mount("hosts", "/dev/termination-log", false),
            ],
            working_dir: "/made/for/me".into(),
            readonly_root: true,
            ..shell(
                "c",
                "cat /etc/hosts; echo no > /etc/hosts; echo out > /var/run/secrets/deep/new/f; touch /etc/x; pwd",
            )
        };
        let (_, log) = outcome(&node, &runtime, "p", &config).await;
        let out: Vec<&str> =
            log.lines().filter(|l| l.contains(" stdout ")).map(|l| l.splitn(4, ' ').nth(3).unwrap()).collect();
        assert_eq!(out, ["1.2.3.4 me", "/made/for/me"], "{log}");
        assert_eq!(log.matches("Read-only file system").count(), 2, "{log}");
        assert_eq!(std::fs::read_to_string(data.join("f")).unwrap(), "out\n");
    });
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let sandbox = runtime.run_sandbox(&node.sandbox("p")).await.unwrap().id;
        let foreign = ContainerConfig { image: "nginx".into(), ..shell("a", "") };
        let error = runtime.create_container(&sandbox, &foreign).await.unwrap_err();
        assert_eq!(error.reason(), "ErrImagePull");
        let empty = ContainerConfig { command: vec![], ..shell("b", "") };
        let error = runtime.create_container(&sandbox, &empty).await.unwrap_err();
        assert_eq!(error.reason(), "CreateContainerError");
        for (command, message) in [
            ("foo-not-there", "exec: \"foo-not-there\": executable file not found in $PATH"),
            ("/not/there", "exec: \"/not/there\": stat /not/there: no such file or directory"),
            ("/etc/passwd", "exec /etc/passwd: permission denied"),
        ] {
            let name = format!("c{}", message.len());
            let config = ContainerConfig { command: vec![command.into()], ..shell(&name, "") };
            let id = runtime.create_container(&sandbox, &config).await.unwrap();
            for _ in 0..2 {
                let error = runtime.start_container(&id).await.unwrap_err();
                assert_eq!((error.reason(), error.to_string().as_str()), ("StartError", message));
            }
            let status = runtime.container_status(&id).await.unwrap();
            assert_eq!((status.exit_code, status.reason.as_str()), (Some(128), "StartError"));
        }
    });
}

#[test]
fn programs_run_inside_a_running_container() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let sandbox = runtime.run_sandbox(&node.sandbox("p")).await.unwrap().id;
        let config =
            ContainerConfig { env: vec![("WHO".into(), "me".into())], ..shell("c", "echo in > /run/f; sleep 1000") };
        let id = run(&runtime, &sandbox, &config).await;
        let sh = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        eventually("the file is there", || async {
            let out = runtime.exec_sync(&id, &sh("cat /run/f"), Duration::ZERO).await.unwrap();
            (out.stdout == b"in\n").then_some(())
        })
        .await;
        let out = runtime.exec_sync(&id, &sh("echo $WHO; hostname; echo e >&2; exit 4"), Duration::ZERO).await.unwrap();
        assert_eq!(
            (out.stdout.as_slice(), out.stderr.as_slice(), out.exit_code),
            (&b"me\nhost-p\n"[..], &b"e\n"[..], 4)
        );
        let error = runtime.exec_sync(&id, &["nope".to_owned()], Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("executable file not found"), "{error}");

        let slow = runtime.exec_sync(&id, &sh("echo $$ > /run/pid; exec sleep 999"), Duration::from_millis(300)).await;
        assert!(matches!(slow, Err(RuntimeError::Timeout { .. })), "{slow:?}");
        eventually("the timed out program is killed", || async {
            let out = runtime.exec_sync(&id, &sh("kill -0 $(cat /run/pid)"), Duration::ZERO).await.unwrap();
            (out.exit_code != 0).then_some(())
        })
        .await;

        let streams = StreamSet { stdin: true, stdout: true, ..Default::default() };
        let request = ExecRequest { command: sh("cat; exit 5"), streams };
        let mut session = runtime.exec(&id, &request).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"through").await.unwrap();
        drop(stdin);
        let mut text = String::new();
        session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), session.exit.await.unwrap()), ("through", 5));

        let streams = StreamSet { stdin: true, stdout: true, tty: true, ..Default::default() };
        let request = ExecRequest { command: sh("read x; stty size; tty; test -t 0 && exit 6"), streams };
        let mut session = runtime.exec(&id, &request).await.unwrap();
        session.resize.as_ref().unwrap().send(TerminalSize { width: 99, height: 33 }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        session.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
        let mut text = String::new();
        session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert!(text.contains("33 99") && text.contains("/dev/pts/"), "{text}");
        assert_eq!(session.exit.await.unwrap(), 6);
        let stats = runtime.stats().await.unwrap();
        assert!(stats[0].containers[0].working_set_bytes > 0 && stats[0].network.is_some(), "{stats:?}");
    });
}

#[test]
fn clients_attach_and_follow_the_log() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let sandbox = runtime.run_sandbox(&node.sandbox("p")).await.unwrap().id;
        let config = ContainerConfig {
            stdin: true,
            stdin_once: true,
            ..shell("c", "while read line; do echo got $line; done; echo end; exit 2")
        };
        let id = run(&runtime, &sandbox, &config).await;
        let log = runtime.logs(&id, &LogOptions { follow: true, ..Default::default() }).await.unwrap();
        let streams = StreamSet { stdin: true, stdout: true, stderr: true, tty: false };
        let mut session = runtime.attach(&id, streams).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\n").await.unwrap();
        drop(stdin);
        let mut text = String::new();
        session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "got one\ngot two\nend\n");
        assert_eq!(session.exit.await.unwrap(), 2);
        let log: Vec<u8> = log.map(|chunk| chunk.unwrap().to_vec()).concat().await;
        assert_eq!(String::from_utf8(log).unwrap(), text);
        let tail = LogOptions { tail_lines: Some(1), ..Default::default() };
        let tail: Vec<u8> = runtime.logs(&id, &tail).await.unwrap().map(|c| c.unwrap().to_vec()).concat().await;
        assert_eq!(tail, b"end\n");
    });
}

#[test]
fn a_terminal_is_given_on_request() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let config = ContainerConfig { tty: true, ..shell("c", "test -t 1 && echo terminal") };
        let (_, log) = outcome(&node, &runtime, "p", &config).await;
        assert!(log.contains("stdout F terminal"), "{log}");
    });
}

#[test]
fn users_and_capabilities_are_lowered() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let script = "id -u; id -g; id -G; grep CapBnd /proc/self/status; grep CapEff /proc/self/status";
        let config = ContainerConfig {
            run_as: RunAs { user: Some(1000), group: Some(1001), supplemental: vec![1002] },
            ..shell("c", script)
        };
        let (_, log) = outcome(&node, &runtime, "p", &config).await;
        let want = ["1000", "1001", "1001 1002", "CapBnd:\t00000000a80425fb", "CapEff:\t0000000000000000"];
        assert_eq!(texts(&log), want);
    });
}

#[test]
fn without_namespaces_only_host_network_pods_run() {
    on_a_node(|node| async move {
        let mut config = node.config();
        config.isolation = orc_runtime::process::Isolation::Unavailable { reason: "the test says so".into() };
        let runtime = orc_runtime::process::ProcessRuntime::new(config).await.unwrap();
        let error = runtime.run_sandbox(&node.sandbox("own")).await.unwrap_err();
        assert!(error.to_string().contains("the test says so"), "{error}");
        let host = SandboxConfig { host_network: true, ..node.sandbox("p") };
        let sandbox = runtime.run_sandbox(&host).await.unwrap();
        let mount = Mount { host_path: "/etc".into(), container_path: "/x".into(), ..Default::default() };
        let mounted = ContainerConfig { mounts: vec![mount], ..shell("m", "true") };
        assert!(runtime.create_container(&sandbox.id, &mounted).await.is_err());
        let id = run(&runtime, &sandbox.id, &shell("c", "(setsid sleep 1000 & echo $!); exec sleep 1000")).await;
        let log = runtime.container_status(&id).await.unwrap().log_path.unwrap();
        let child = eventually("the child's id is logged", || async {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            texts(&text).first().map(|line| line.to_string())
        })
        .await;
        runtime.stop_container(&id, Duration::from_secs(5)).await.unwrap();
        assert_eq!(runtime.container_status(&id).await.unwrap().exit_code, Some(143));
        assert!(!std::path::Path::new(&format!("/proc/{child}")).exists(), "what the container left is killed");
    });
}

#[test]
fn a_lost_shim_is_told() {
    on_a_node(|node| async move {
        let runtime = node.runtime().await;
        let sandbox = runtime.run_sandbox(&node.sandbox("p")).await.unwrap().id;
        let id = run(&runtime, &sandbox, &shell("c", "sleep 1000")).await;
        let record =
            std::fs::read_to_string(node.dir.path().join(format!("runtime/pods/{sandbox}/shim.json"))).unwrap();
        let shim: serde_json::Value = serde_json::from_str(&record).unwrap();
        let pid = runtime.container_status(&id).await.unwrap().pid.unwrap();
        std::process::Command::new("kill").args(["-9", &shim["pid"].to_string()]).status().unwrap();
        let status = ended(&runtime, &id).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (Some(137), "ContainerStatusUnknown"));
        assert_eq!(runtime.sandbox_status(&sandbox).await.unwrap().state, SandboxState::NotReady);
        eventually("the program dies with it", || async {
            let dead = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s.contains(") Z"));
            dead.then_some(())
        })
        .await;
        runtime.remove_sandbox(&sandbox).await.unwrap();
        assert!(runtime.list_containers(None).await.unwrap().is_empty());
    });
}
