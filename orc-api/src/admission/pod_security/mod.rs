//! The Pod Security Standards: what a pod may ask of its node, at the levels `privileged`, `baseline` and `restricted`.
//!
//! Pure: a pod's metadata and spec in, violations out. Follows `k8s.io/pod-security-admission/policy`; the checks run in the
//! order of their names, and a level's checks are those of its version.

mod baseline;
mod fields;
mod labels;
mod profiles;
mod restricted;

pub use labels::{Level, Policy, Standard, Version};

use serde_json::Value;

/// What a check found: a short reason, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Such as `privileged`.
    pub reason: String,
    /// Such as `container "c" must not set securityContext.privileged=true`; may be empty.
    pub detail: String,
}

impl Violation {
    fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into() }
    }
}

/// A pod as the checks see it.
struct Subject<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    /// The minor version of the standard.
    minor: u32,
}

type Check = fn(&Subject<'_>) -> Option<Violation>;

/// The checks by name order: the first minor version of each, its levels, and the check.
const CHECKS: [(u32, Level, bool, Check); 18] = [
    (8, Level::Restricted, false, restricted::privilege_escalation),
    (0, Level::Baseline, false, profiles::app_armor),
    (0, Level::Baseline, true, baseline::capabilities),
    (22, Level::Restricted, false, restricted::capabilities),
    (0, Level::Baseline, false, baseline::host_namespaces),
    (0, Level::Baseline, true, baseline::host_path),
    (0, Level::Baseline, false, baseline::host_ports),
    (34, Level::Baseline, false, baseline::host_probes),
    (0, Level::Baseline, false, baseline::privileged),
    (0, Level::Baseline, false, baseline::proc_mount),
    (0, Level::Restricted, false, restricted::volumes),
    (0, Level::Restricted, false, restricted::run_as_non_root),
    (23, Level::Restricted, false, restricted::run_as_user),
    (0, Level::Baseline, false, profiles::se_linux),
    (0, Level::Baseline, true, profiles::seccomp_baseline),
    (19, Level::Restricted, false, profiles::seccomp_restricted),
    (0, Level::Baseline, false, baseline::sysctls),
    (0, Level::Baseline, false, baseline::windows_host_process),
];

/// What a pod does that a standard forbids, in the order of the checks; nothing when it conforms.
pub fn violations(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Violation> {
    let minor = standard.version.minor();
    let subject = Subject { metadata, spec, minor };
    let restricted = standard.level == Level::Restricted;
    let applies = |(since, level, overridden, _): &&(u32, Level, bool, Check)| match level {
        _ if standard.level == Level::Privileged || *since > minor => false,
        Level::Restricted => restricted,
        // A stricter check of the same thing speaks for it.
        _ => !(restricted && *overridden && minor >= 22),
    };
    CHECKS.iter().filter(applies).filter_map(|(_, _, _, check)| check(&subject)).collect()
}

/// The violations in one line: `privileged (container "c" must not ...), hostPort (...)`.
pub fn describe(violations: &[Violation]) -> String {
    let one =
        |v: &Violation| if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(level: &str, version: &str, spec: Value) -> String {
        let standard = Standard { level: level.parse().unwrap(), version: version.parse().unwrap() };
        describe(&violations(standard, &json!({}), &spec))
    }

    #[test]
    fn a_bare_pod_is_baseline_but_not_restricted() {
        let pod = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(found("baseline", "latest", pod.clone()), "");
        assert_eq!(found("privileged", "latest", json!({"hostPID": true})), "");
        assert_eq!(
            found("restricted", "latest", pod.clone()),
            "allowPrivilegeEscalation != false (containers \"a\", \"b\" must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities (containers \"a\", \"b\" must set securityContext.capabilities.drop=[\"ALL\"]), \
             runAsNonRoot != true (pod or containers \"a\", \"b\" must set securityContext.runAsNonRoot=true), \
             seccompProfile (pod or containers \"a\", \"b\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \
             \"Localhost\")"
        );
        assert_eq!(
            found("restricted", "v1.0", pod),
            "runAsNonRoot != true (pod or containers \"a\", \"b\" must set securityContext.runAsNonRoot=true)"
        );
    }

    #[test]
    fn windows_pods_need_no_linux_fields() {
        let pod = json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "a"}]});
        assert_eq!(found("restricted", "latest", pod), "");
    }

    #[test]
    fn a_hosts_things_are_forbidden() {
        let pod = json!({"hostIPC": true, "volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "n", "nfs": {}}],
            "containers": [{"name": "a", "ports": [{"hostPort": 1}, {"hostPort": 2}],
                "livenessProbe": {"httpGet": {"host": "1.2.3.4"}}, "securityContext": {"procMount": "Unmasked"}}]});
        assert_eq!(
            found("baseline", "latest", pod.clone()),
            "host namespaces (hostIPC=true), hostPath volumes (volume \"v\"), hostPort (container \"a\" uses hostPorts 1, 2), probe \
             or lifecycle host (container \"a\" uses probe or lifecycle host \"1.2.3.4\"), procMount (container \"a\" must not set \
             securityContext.procMount to \"Unmasked\")"
        );
        assert!(found("restricted", "latest", pod).contains(
            "restricted volume types (volumes \"v\", \"n\" use restricted volume types \"hostPath\", \"nfs\")"
        ));
    }
}
