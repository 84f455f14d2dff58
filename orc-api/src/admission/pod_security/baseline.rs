//! The checks of the baseline level about capabilities, the host and the kernel.

use std::collections::BTreeSet;

use super::fields::{at, containers, is_true, list, name, named, plural, quoted, setters, text, those};
use super::{Subject, Violation};

/// What runtimes give anyway.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn capabilities(pod: &Subject<'_>) -> Option<Violation> {
    let mut bad = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(pod.spec) {
        let added = list(container, "securityContext.capabilities.add").filter_map(|c| c.as_str());
        let forbidden: Vec<&str> = added.filter(|c| !CAPABILITIES.contains(c)).collect();
        if !forbidden.is_empty() {
            names.push(name(container));
            bad.extend(forbidden);
        }
    }
    let detail = || format!("{} must not include {} in securityContext.capabilities.add", named(&names), quoted(&bad));
    (!names.is_empty()).then(|| Violation::new("non-default capabilities", detail()))
}

pub(super) fn host_namespaces(pod: &Subject<'_>) -> Option<Violation> {
    let used: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| is_true(pod.spec, field))
        .map(|field| format!("{field}=true"))
        .collect();
    (!used.is_empty()).then(|| Violation::new("host namespaces", used.join(", ")))
}

pub(super) fn host_path(pod: &Subject<'_>) -> Option<Violation> {
    let volumes = list(pod.spec, "volumes").filter(|volume| at(volume, "hostPath").is_some());
    let names: Vec<&str> = volumes.map(name).collect();
    let detail = || format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names));
    (!names.is_empty()).then(|| Violation::new("hostPath volumes", detail()))
}

pub(super) fn host_ports(pod: &Subject<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(pod.spec) {
        let used: Vec<i64> =
            list(container, "ports").filter_map(|port| at(port, "hostPort")?.as_i64()).filter(|n| *n != 0).collect();
        if !used.is_empty() {
            names.push(name(container));
            // Upstream sorts the numbers as texts.
            ports.extend(used.iter().map(ToString::to_string));
        }
    }
    let all = ports.iter().cloned().collect::<Vec<_>>().join(", ");
    let (verb, noun) = (plural("uses", "use", names.len()), plural("hostPort", "hostPorts", ports.len()));
    (!names.is_empty()).then(|| Violation::new("hostPort", format!("{} {verb} {noun} {all}", named(&names))))
}

pub(super) fn host_probes(pod: &Subject<'_>) -> Option<Violation> {
    let (mut names, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    let places = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    for container in containers(pod.spec) {
        for place in places {
            for action in ["httpGet", "tcpSocket"] {
                let host = text(container, &format!("{place}.{action}.host"));
                if !host.is_empty() {
                    names.insert(name(container));
                    hosts.insert(host);
                }
            }
        }
    }
    let names: Vec<&str> = names.into_iter().collect();
    let noun = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    let detail = || format!("{} {} {noun} {}", named(&names), plural("uses", "use", names.len()), quoted(&hosts));
    (!names.is_empty()).then(|| Violation::new("probe or lifecycle host", detail()))
}

pub(super) fn privileged(pod: &Subject<'_>) -> Option<Violation> {
    let names = those(pod.spec, |container| is_true(container, "securityContext.privileged"));
    let detail = || format!("{} must not set securityContext.privileged=true", named(&names));
    (!names.is_empty()).then(|| Violation::new("privileged", detail()))
}

pub(super) fn proc_mount(pod: &Subject<'_>) -> Option<Violation> {
    let mut kinds = BTreeSet::new();
    let mut names = Vec::new();
    for container in containers(pod.spec) {
        let kind = text(container, "securityContext.procMount");
        if !matches!(kind, "" | "Default") {
            names.push(name(container));
            kinds.insert(kind);
        }
    }
    let detail = || format!("{} must not set securityContext.procMount to {}", named(&names), quoted(&kinds));
    (!names.is_empty()).then(|| Violation::new("procMount", detail()))
}

/// Sysctls that stay inside the pod, with the version of the standard that allows each.
const SYSCTLS: [(u32, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

pub(super) fn sysctls(pod: &Subject<'_>) -> Option<Violation> {
    let allowed = |name: &&str| SYSCTLS.iter().any(|(since, sysctl)| sysctl == name && pod.minor >= *since);
    let bad: Vec<&str> = list(pod.spec, "securityContext.sysctls").map(name).filter(|n| !allowed(n)).collect();
    (!bad.is_empty()).then(|| Violation::new("forbidden sysctls", bad.join(", ")))
}

pub(super) fn windows_host_process(pod: &Subject<'_>) -> Option<Violation> {
    const FIELD: &str = "securityContext.windowsOptions.hostProcess";
    let names = those(pod.spec, |container| is_true(container, FIELD));
    let who = setters(is_true(pod.spec, FIELD), &names)?;
    Some(Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true")))
}
