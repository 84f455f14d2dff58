//! A node with a network of its own for one test, and the trick that makes a test binary its own shim.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orc_runtime::pod_net::{Cidr, InstanceId, Network};
use orc_runtime::process::{Isolation, ProcessConfig, ProcessRuntime};
use orc_runtime::runtime::*;

/// Runs before libtest's `main`: the shim is this very program under another name.
#[allow(unsafe_code, reason = "the only way to run before the test harness")]
mod before_main {
    extern "C" fn hook() {
        orc_runtime::shim::run_if_asked();
        crate::before_main();
    }
    #[used]
    #[unsafe(link_section = ".init_array")]
    static HOOK: extern "C" fn() = hook;
}

pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) network: Arc<Network>,
    pub(crate) range: Cidr,
}

impl Node {
    async fn new() -> Self {
        // Not in /tmp's own top: some hosts have a socket-path-hostile TMPDIR; the runtime must not care.
        let dir = tempfile::tempdir().unwrap();
        let instance = InstanceId::of(dir.path().to_str().unwrap());
        let digits = u32::from_str_radix(&instance.to_string(), 16).unwrap();
        let range = format!("10.{}.{}.0/24", 100 + (digits >> 8) % 150, digits % 256).parse().unwrap();
        Self { dir, network: Arc::new(Network::start(instance).await.unwrap()), range }
    }

    pub(crate) fn config(&self) -> ProcessConfig {
        ProcessConfig::new(self.dir.path().join("runtime")).with_network(self.network.clone(), self.range)
    }

    pub(crate) async fn runtime(&self) -> ProcessRuntime {
        ProcessRuntime::new(self.config()).await.unwrap()
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    pub(crate) fn sandbox(&self, uid: &str) -> SandboxConfig {
        SandboxConfig {
            pod_uid: uid.into(),
            name: uid.into(),
            namespace: "default".into(),
            hostname: format!("host-{uid}"),
            log_directory: self.logs().join(uid),
            ..Default::default()
        }
    }
}

/// Runs a test on a fresh node, or says why not. Everything the node made is removed, whatever happened.
pub(crate) fn on_a_node<F: Future<Output = ()>>(test: impl FnOnce(Arc<Node>) -> F) {
    if let Isolation::Unavailable { reason } = Isolation::detect() {
        eprintln!("skipped: {reason}");
        return;
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let node = Arc::new(Node::new().await);
        let result = std::panic::AssertUnwindSafe(test(node.clone()));
        let result = futures::FutureExt::catch_unwind(result).await;
        let runtime = node.runtime().await;
        for sandbox in runtime.list_sandboxes().await.unwrap() {
            runtime.remove_sandbox(&sandbox.id).await.unwrap();
        }
        node.network.remove().await.unwrap();
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

pub(crate) fn shell(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        image: "host".into(),
        command: vec!["sh".into(), "-c".into(), script.into()],
        log_path: format!("{name}/0.log").into(),
        ..Default::default()
    }
}

/// Makes and starts a container.
pub(crate) async fn run(runtime: &ProcessRuntime, sandbox: &SandboxId, config: &ContainerConfig) -> ContainerId {
    let id = runtime.create_container(sandbox, config).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    id
}

/// Waits until the container ended.
pub(crate) async fn ended(runtime: &ProcessRuntime, id: &ContainerId) -> ContainerStatus {
    eventually("the container ends", || async {
        let status = runtime.container_status(id).await.unwrap();
        (status.state == ContainerState::Exited).then_some(status)
    })
    .await
}

pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    for _ in 0..1500 {
        if let Some(value) = check().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

/// Runs a script to its end and returns how it ended and its log file.
pub(crate) async fn outcome(
    node: &Node,
    runtime: &ProcessRuntime,
    pod: &str,
    config: &ContainerConfig,
) -> (ContainerStatus, String) {
    let sandbox = runtime.run_sandbox(&node.sandbox(pod)).await.unwrap();
    let id = run(runtime, &sandbox.id, config).await;
    let status = ended(runtime, &id).await;
    let log = std::fs::read_to_string(status.log_path.as_deref().unwrap_or(Path::new("/dev/null"))).unwrap();
    (status, log)
}

/// The text of a log file, without times.
pub(crate) fn texts(log: &str) -> Vec<&str> {
    log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap()).collect()
}
