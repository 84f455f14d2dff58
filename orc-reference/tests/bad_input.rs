//! Bad input: each gives a clear error that says what to do, an exit code other than 0, and nothing is lost.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use support::{As, Cluster, free_address, is_root, text};

#[test]
fn what_kubectl_sends_wrong_is_refused_in_kubernetes_words() {
    let cluster = Cluster::up(As::Me, &[]);
    let apply = |yaml: &str| cluster.refused(&["apply", "--validate=strict", "-f", "-"], yaml);
    let broken = apply("apiVersion: v1\nkind: Pod\nmetadata: [\n");
    assert!(broken.contains("yaml") || broken.contains("YAML"), "{broken}");
    let kind = apply("apiVersion: v1\nkind: Nonsense\nmetadata: {name: a}\n");
    assert!(kind.contains("no matches for kind \"Nonsense\""), "{kind}");
    let pod = |name: &str, spec: &str| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    let field = apply(&pod("a", "{containers: [{name: c, image: host, commandd: [a]}]}"));
    assert!(field.contains("unknown field \"spec.containers[0].commandd\""), "{field}");
    let name = apply(&pod("Not_Valid", "{containers: [{name: c, image: host, command: [a]}]}"));
    assert!(name.contains("metadata.name: Invalid value: \"Not_Valid\""), "{name}");
    let none = apply(&pod("a", "{containers: []}"));
    assert!(none.contains("spec.containers: Required value"), "{none}");

    // A pod without a command starts nothing and says why.
    cluster.ok_with(&["apply", "-f", "-"], &pod("idle", "{containers: [{name: c, image: host}]}"));
    let waiting = ["get", "pod", "idle", "-o", "jsonpath={.status.containerStatuses[0].state.waiting}"];
    let said = cluster.until(&waiting, "the missing command is told", |text| text.contains("CreateContainerError"));
    assert!(said.contains("command"), "{said}");
    assert!(cluster.ok(&["get", "pods", "-o", "name"]).contains("pod/idle"), "what was accepted is still there");
}

fn orc(folder: &Path, listen: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["api", "--data-dir", &folder.to_string_lossy(), "--listen", listen])
        .output()
        .unwrap()
}

/// Runs `orc api`, which must fail at once, and returns what it said.
fn refused(folder: &Path, listen: &str) -> String {
    let output = orc(folder, listen);
    assert!(!output.status.success(), "orc started: {}", text(&output.stdout));
    text(&output.stderr)
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(folder.path(), &address);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

/// A network of this machine, as one that was left over.
struct Interface(&'static str);

impl Interface {
    fn with(name: &'static str, address: &str) -> Self {
        let made = Self(name);
        for args in [
            &["link", "add", name, "type", "bridge"][..],
            &["addr", "add", address, "dev", name],
            &["link", "set", name, "up"],
        ] {
            assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
        }
        made
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", self.0]).status();
    }
}

#[test]
fn a_pod_network_that_somebody_has_is_named() {
    if !is_root() {
        return println!("skipped: a_pod_network_that_somebody_has_is_named: only root makes interfaces");
    }
    let _there = Interface::with("orctest0", "10.222.3.1/24");
    let folder = tempfile::tempdir().unwrap();
    let (data, listen) = (folder.path().join("data"), free_address().to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["up", "--pod-cidr", "10.222.0.0/16", "--listen", &listen, "--data-dir", &data.to_string_lossy()])
        .output()
        .unwrap();
    assert!(!output.status.success(), "orc started: {}", text(&output.stdout));
    let said = text(&output.stderr);
    assert!(
        said.contains("10.222.0.0/16 is in use") && said.contains("orctest0") && said.contains("--pod-cidr"),
        "{said}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = refused(&file.join("below"), &free_address().to_string());
    assert!(said.contains("--data-dir"), "{said}");
    if !is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        let said = refused(&folder.path().join("data"), &free_address().to_string());
        assert!(said.contains("--data-dir"), "{said}");
    }
}

/// A server that runs until the guard is dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn running(folder: &Path) -> Running {
    use std::io::BufRead as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_orc"))
        .args(["api", "--data-dir", &folder.to_string_lossy(), "--listen", &free_address().to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready: "), "{line}");
    Running(child)
}

#[test]
fn a_folder_in_use_and_a_corrupt_file_are_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let first = running(folder.path());
    let said = refused(folder.path(), &free_address().to_string());
    assert!(said.contains("in use") && said.contains("--data-dir"), "{said}");
    drop(first);

    let store = folder.path().join("store");
    let data = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[..middle] {
        *byte ^= 0x5a;
    }
    fs::write(&data, &bytes).unwrap();
    let said = refused(folder.path(), &free_address().to_string());
    assert!(said.contains("corrupt") || said.contains("not a"), "{said}");
    assert_eq!(fs::read(&data).unwrap(), bytes, "the damaged file was changed");
}

#[test]
fn bad_flags_are_refused() {
    for flags in [&["up", "--runtime", "docker"][..], &["up", "--nodes", "-1"], &["nonsense"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_orc")).args(flags).output().unwrap();
        assert!(!output.status.success(), "{flags:?}");
        assert!(text(&output.stderr).contains("error"), "{flags:?}");
    }
    for (flag, value) in [("--nodes", "-1"), ("--sim-nodes", "-5"), ("--sim-nodes", "16001"), ("--sim-nodes", "many")] {
        let output = Command::new(env!("CARGO_BIN_EXE_orc")).args(["up", flag, value]).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(flag) && said.contains(value), "{said}");
        assert!(said.contains("is not in 0..=") || said.contains("invalid digit"), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "only-one-column\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_orc"))
        .args([
            "api",
            "--data-dir",
            &folder.path().join("d").to_string_lossy(),
            "--listen",
            &free_address().to_string(),
        ])
        .args(["--token-auth-file", &tokens.to_string_lossy()])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("line 1"), "{said}");
    assert!(!said.contains("only-one-column"), "a token must not be printed: {said}");
}
