//! From a pod's spec to what a runtime is asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, PodStatus, SecurityContext};

use super::context::{Context, name_of, namespace_of, uid_of};
use super::{environment, files, resources, shutdown, volumes};
use crate::machine::Failure;
use crate::runtime::{ContainerConfig, PortMapping, Protocol, RunAs, SandboxConfig};

/// The labels that a kubelet gives to what it makes.
fn labels(pod: &Pod) -> BTreeMap<String, String> {
    let own = [
        ("io.kubernetes.pod.name", name_of(pod)),
        ("io.kubernetes.pod.namespace", namespace_of(pod)),
        ("io.kubernetes.pod.uid", uid_of(pod)),
    ];
    own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Refuses what would silently be something else.
pub(super) fn check(context: &Context, pod: &Pod) -> Result<(), Failure> {
    let Some(spec) = pod.spec.as_ref().filter(|_| !context.config.is_simulated()) else { return Ok(()) };
    let refuse = |what: String| Err(Failure::new("FailedCreatePodSandBox", format!("{what} not supported by orc yet")));
    if spec.share_process_namespace == Some(true) {
        return refuse("shareProcessNamespace: true is".to_owned());
    }
    if let Some(class) = spec.runtime_class_name.as_deref().filter(|class| !class.is_empty()) {
        return refuse(format!("runtimeClassName {class:?}: runtime classes are"));
    }
    if spec.containers.iter().any(|container| container.volume_devices.as_ref().is_some_and(|all| !all.is_empty())) {
        return refuse("volumeDevices are".to_owned());
    }
    Ok(())
}

/// The configuration of a pod's sandbox.
pub(super) fn sandbox(context: &Context, pod: &Pod, attempt: u32) -> SandboxConfig {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let host_network = spec.host_network.unwrap_or(false);
    SandboxConfig {
        pod_uid: uid_of(pod).to_owned(),
        name: name_of(pod).to_owned(),
        namespace: namespace_of(pod).to_owned(),
        attempt,
        hostname: if host_network { String::new() } else { files::hostname(pod) },
        labels: pod.metadata.labels.clone().unwrap_or_default().into_iter().chain(labels(pod)).collect(),
        annotations: annotations(pod, spec),
        log_directory: context.log_dir(pod).unwrap_or_default(),
        port_mappings: if host_network { Vec::new() } else { ports(spec) },
        dns: super::dns::dns(context, pod),
        host_network,
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        limits: Some(resources::of_pod(spec, context.config.pod_pids_limit)),
        qos_class: String::new(),
    }
}

/// The pod's own, and its priority for the node's shutdown.
fn annotations(pod: &Pod, spec: &PodSpec) -> BTreeMap<String, String> {
    let mut all = pod.metadata.annotations.clone().unwrap_or_default();
    all.insert(shutdown::PRIORITY.to_owned(), spec.priority.unwrap_or_default().to_string());
    all
}

fn ports(spec: &PodSpec) -> Vec<PortMapping> {
    let all = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let port = |port: i32| u16::try_from(port).unwrap_or_default();
    all.map(|each| PortMapping {
        host_port: each.host_port.map_or(0, port),
        container_port: port(each.container_port),
        protocol: match each.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        },
        host_ip: each.host_ip.clone().unwrap_or_default(),
    })
    .collect()
}

/// The configuration of a container.
pub(super) async fn container(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    spec: &Container,
    attempt: u32,
) -> Result<ContainerConfig, Failure> {
    let simulated = context.config.is_simulated();
    let env = if simulated { Vec::new() } else { environment::resolve(context, pod, status, spec).await? };
    let known: BTreeMap<String, String> = env.iter().cloned().collect();
    let expand = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| environment::expand(word, &known)).collect()
    };
    let mounts =
        if simulated { Vec::new() } else { volumes::mounts(context, pod, status, spec, attempt, &known).await? };
    let pod_security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let security = spec.security_context.clone().unwrap_or_default();
    let run_as = run_as(pod_security, &security).map_err(|failure| of(pod, &spec.name, failure))?;
    let capabilities = security.capabilities.clone().unwrap_or_default();
    let mut annotations = BTreeMap::new();
    annotations.insert("io.kubernetes.container.restartCount".to_owned(), attempt.to_string());
    let mut labels = labels(pod);
    labels.insert("io.kubernetes.container.name".to_owned(), spec.name.clone());
    Ok(ContainerConfig {
        name: spec.name.clone(),
        attempt,
        image: spec.image.clone().unwrap_or_default(),
        command: expand(&spec.command),
        args: expand(&spec.args),
        env,
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        mounts,
        run_as,
        resources: resources::of_container(&context.config, pod, spec, status.qos_class.as_deref().unwrap_or_default()),
        tty: spec.tty.unwrap_or(false),
        stdin: spec.stdin.unwrap_or(false),
        stdin_once: spec.stdin_once.unwrap_or(false),
        log_path: PathBuf::from(&spec.name).join(format!("{attempt}.log")),
        labels,
        annotations,
        termination_message_path: spec.termination_message_path.clone().unwrap_or_default(),
        privileged: security.privileged.unwrap_or(false),
        no_new_privs: security.allow_privilege_escalation == Some(false),
        readonly_root: security.read_only_root_filesystem.unwrap_or(false),
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        share_processes_of: None,
    })
}

/// Names pod and container, as the kubelet does for its security checks.
fn of(pod: &Pod, container: &str, failure: Failure) -> Failure {
    let pod = format!("{}_{}({})", name_of(pod), namespace_of(pod), uid_of(pod));
    Failure { message: format!("{} (pod: {pod:?}, container: {container})", failure.message), ..failure }
}

fn run_as(pod: Option<&PodSecurityContext>, own: &SecurityContext) -> Result<RunAs, Failure> {
    let id = |value: Option<i64>| -> Result<Option<u32>, Failure> {
        let outside = |_| Failure::new("CreateContainerConfigError", format!("id {value:?} is out of range"));
        value.map(|value| u32::try_from(value).map_err(outside)).transpose()
    };
    let user = id(own.run_as_user.or(pod.and_then(|pod| pod.run_as_user)))?;
    let group = id(own.run_as_group.or(pod.and_then(|pod| pod.run_as_group)))?;
    let must_not_be_root = own.run_as_non_root.or(pod.and_then(|pod| pod.run_as_non_root)).unwrap_or(false);
    if must_not_be_root && user.unwrap_or(0) == 0 {
        let text = match user {
            Some(_) => "container's runAsUser breaks non-root policy",
            None => "container has runAsNonRoot and image will run as root",
        };
        return Err(Failure::new("CreateContainerConfigError", text));
    }
    let groups = pod.iter().flat_map(|pod| pod.supplemental_groups.iter().flatten().chain(pod.fs_group.as_ref()));
    let supplemental = groups.map(|group| id(Some(*group))).collect::<Result<Vec<_>, _>>()?;
    Ok(RunAs { user, group, supplemental: supplemental.into_iter().flatten().collect() })
}
