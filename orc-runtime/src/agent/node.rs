//! The Node object: registered at the start, its status kept up to date.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use orc_core::ApiError;
use orc_store::Api;

use super::config::AgentConfig;
use super::context::Context;
use super::system;
use crate::runtime::RuntimeStatus;

/// The Kubernetes level that the agent speaks.
const KUBELET_VERSION: &str = "v1.36.0";

/// Labels that the node has.
pub(super) fn labels(config: &AgentConfig) -> BTreeMap<String, String> {
    let arch = system::architecture();
    let own = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.chain(config.labels.clone()).collect()
}

/// What the node has to give.
pub(super) fn capacity(config: &AgentConfig) -> BTreeMap<String, String> {
    let mut all = config.capacity.clone();
    let (cpu, memory, disk) = match &config.data_dir {
        None => ("32".to_owned(), "256Gi".to_owned(), "1Ti".to_owned()),
        Some(dir) => {
            let kibi = |bytes: Option<u64>| format!("{}Ki", bytes.unwrap_or_default() / 1024);
            (system::cpus().to_string(), kibi(system::memory_bytes()), kibi(system::disk_bytes(dir)))
        }
    };
    all.entry("cpu".to_owned()).or_insert(cpu);
    all.entry("memory".to_owned()).or_insert(memory);
    all.entry("ephemeral-storage".to_owned()).or_insert(disk);
    all.insert("pods".to_owned(), config.max_pods.to_string());
    all
}

/// Makes the Node object, or takes up the one that is there, and writes its status.
pub(super) async fn register(context: &Context) -> Result<(), ApiError> {
    let config = &context.config;
    let api: Api<Node> = Api::all(context.env.client.clone());
    let annotation = ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            annotations: Some([annotation].into()),
            ..Default::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: config.pod_cidr.clone(),
            pod_cidrs: config.pod_cidr.clone().map(|range| vec![range]),
            taints: (!config.taints.is_empty()).then(|| config.taints.clone()),
            ..Default::default()
        }),
        ..Default::default()
    };
    match api.create(&node).await {
        Err(error) if error.is_already_exists() => {
            api.modify(&config.node_name, |found| {
                found.metadata.labels.get_or_insert_default().extend(labels(config));
                let spec = found.spec.get_or_insert_default();
                if spec.pod_cidr.is_none() {
                    spec.pod_cidr.clone_from(&config.pod_cidr);
                    spec.pod_cidrs = config.pod_cidr.clone().map(|range| vec![range]);
                }
            })
            .await?;
        }
        other => drop(other?),
    }
    write_status(context).await
}

/// Writes the node's status.
pub(super) async fn write_status(context: &Context) -> Result<(), ApiError> {
    let runtime = context.runtime.runtime_status().await;
    let now = context.now();
    let api: Api<Node> = Api::all(context.env.client.clone());
    let write = api.modify_status(&context.config.node_name, |node| {
        let status = node.status.get_or_insert_default();
        fill(status, &context.config, &runtime, now);
    });
    write.await.map(drop)
}

fn fill(status: &mut NodeStatus, config: &AgentConfig, runtime: &RuntimeStatus, now: Timestamp) {
    let room: BTreeMap<String, Quantity> =
        capacity(config).into_iter().map(|(name, amount)| (name, Quantity(amount))).collect();
    status.capacity = Some(room.clone());
    status.allocatable = Some(room);
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let mut addresses: Vec<NodeAddress> =
        config.addresses.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    addresses.push(address("Hostname", config.node_name.clone()));
    status.addresses = Some(addresses);
    let port = config.port.map(|port| DaemonEndpoint { port: i32::from(port) });
    status.daemon_endpoints = port.map(|port| NodeDaemonEndpoints { kubelet_endpoint: Some(port) });
    status.node_info = Some(info(config, runtime));
    status.conditions = Some(conditions(status.conditions.take().unwrap_or_default(), runtime, now));
}

fn info(config: &AgentConfig, runtime: &RuntimeStatus) -> NodeSystemInfo {
    let (machine, boot) =
        if config.is_simulated() { (config.node_name.clone(), config.node_name.clone()) } else { system::ids() };
    NodeSystemInfo {
        architecture: system::architecture().to_owned(),
        operating_system: "linux".to_owned(),
        boot_id: boot,
        system_uuid: machine.clone(),
        machine_id: machine,
        kernel_version: system::kernel(),
        os_image: system::os_image(),
        kubelet_version: KUBELET_VERSION.to_owned(),
        // Deprecated upstream and empty there; the field is required.
        kube_proxy_version: String::new(),
        container_runtime_version: format!("{}://{}", runtime.version.name, runtime.version.version),
        ..Default::default()
    }
}

/// The kubelet's conditions; those of others stay.
fn conditions(present: Vec<NodeCondition>, runtime: &RuntimeStatus, now: Timestamp) -> Vec<NodeCondition> {
    let ready = if runtime.ready {
        ("Ready", true, "KubeletReady", "kubelet is posting ready status".to_owned())
    } else {
        ("Ready", false, "KubeletNotReady", format!("container runtime is down: {}", runtime.message))
    };
    let no = |kind, reason, text: &str| (kind, false, reason, text.to_owned());
    let own = [
        no("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        no("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        no("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ready,
    ];
    let stamp = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    let mut all: Vec<NodeCondition> =
        present.iter().filter(|condition| own.iter().all(|(kind, ..)| condition.type_ != *kind)).cloned().collect();
    all.extend(own.into_iter().map(|(kind, good, reason, message)| {
        let status = if good { "True" } else { "False" };
        let before = present.iter().find(|before| before.type_ == kind && before.status == status);
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(stamp.clone()),
            last_transition_time: before
                .and_then(|before| before.last_transition_time.clone())
                .or_else(|| Some(stamp.clone())),
        }
    }));
    all
}
