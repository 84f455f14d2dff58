//! The containers of a pod's three lists, by name.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

/// The ephemeral containers of a pod.
pub(crate) fn ephemeral_containers(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten())
}

/// An ephemeral container in the shape of the others; what it does not have (ports, probes, hooks) is absent.
fn as_container(extra: &EphemeralContainer) -> Container {
    let extra = extra.clone();
    Container {
        name: extra.name,
        image: extra.image,
        image_pull_policy: extra.image_pull_policy,
        command: extra.command,
        args: extra.args,
        working_dir: extra.working_dir,
        env: extra.env,
        env_from: extra.env_from,
        volume_mounts: extra.volume_mounts,
        volume_devices: extra.volume_devices,
        resources: extra.resources,
        security_context: extra.security_context,
        stdin: extra.stdin,
        stdin_once: extra.stdin_once,
        tty: extra.tty,
        termination_message_path: extra.termination_message_path,
        termination_message_policy: extra.termination_message_policy,
        ..Default::default()
    }
}

/// A container of any of the pod's three lists, by its name.
pub(crate) fn any_container<'a>(pod: &'a Pod, name: &str) -> Option<Cow<'a, Container>> {
    let extra = || ephemeral_containers(pod).find(|container| container.name == name);
    find_container(pod, name).map(Cow::Borrowed).or_else(|| extra().map(|extra| Cow::Owned(as_container(extra))))
}

/// A regular or init container of a pod by its name.
pub(crate) fn find_container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|container| container.name == name)
}
