//! From a container's configuration to what the shim starts.

use std::path::Path;

use super::identity;
use super::layout::{ContainerRecord, PodDir};
use crate::process::ProcessConfig;
use crate::runtime::{ContainerConfig, Propagation, RunAs, RuntimeError, SandboxConfig};
use crate::shim::protocol::StartSpec;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a container's mounts cannot be made, these are missed by nobody who reads the host's own.
const HOST_HAS_THEM: [&str; 4] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"];

/// Refuses what this runtime cannot do, before anything is made.
pub(crate) fn check(config: &ContainerConfig, isolated: bool) -> Result<(), RuntimeError> {
    if config.command.is_empty() && config.args.is_empty() {
        return Err(RuntimeError::Create(
            "no command specified: image host has no entry point, so the container needs a `command`".to_owned(),
        ));
    }
    identity::check(&config.run_as).map_err(RuntimeError::Create)?;
    identity::capabilities(config).map_err(RuntimeError::Create)?;
    for mount in &config.mounts {
        if !mount.host_path.is_absolute() || !mount.container_path.is_absolute() {
            let path = mount.container_path.display();
            return Err(RuntimeError::Create(format!("mount at {path}: both paths must be absolute")));
        }
        if mount.propagation == Propagation::Bidirectional {
            let path = mount.container_path.display();
            return Err(RuntimeError::Create(format!(
                "mount at {path}: the process runtime has no bidirectional mount propagation"
            )));
        }
        let at = mount.container_path.to_string_lossy();
        if !isolated && mount.container_path != mount.host_path && !HOST_HAS_THEM.contains(&at.as_ref()) {
            return Err(RuntimeError::Create(format!(
                "mount at {at}: without namespaces nothing can be mounted on this node (set \
                 automountServiceAccountToken: false if it is the token)"
            )));
        }
    }
    Ok(())
}

/// The whole order for the shim.
pub(crate) fn start_spec(
    settings: &ProcessConfig,
    dir: &PodDir,
    sandbox: &SandboxConfig,
    container: &ContainerRecord,
) -> Result<StartSpec, RuntimeError> {
    let config = &container.config;
    let run_as = with_primary_group(&config.run_as);
    let log = (!config.log_path.as_os_str().is_empty()).then(|| sandbox.log_directory.join(&config.log_path));
    if log.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(RuntimeError::Create("the sandbox has no absolute log_directory to keep the log in".to_owned()));
    }
    let mut hidden = settings.hidden.clone();
    if !hidden.iter().any(|outer| settings.state_dir.starts_with(outer)) {
        hidden.push(settings.state_dir.clone());
    }
    Ok(StartSpec {
        id: container.id.to_string(),
        dir: dir.container(config),
        isolate: settings.isolation.is_available(),
        host_pid: sandbox.host_pid,
        share_processes_of: config.share_processes_of.as_ref().map(ToString::to_string),
        argv: config.command.iter().chain(&config.args).cloned().collect(),
        env: environment(config, sandbox, &run_as),
        cwd: config.working_dir.clone(),
        run_as,
        mounts: config.mounts.clone(),
        tty: config.tty,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        log,
        hidden,
        capabilities: identity::capabilities(config).map_err(RuntimeError::Create)?,
        privileged: config.privileged,
        no_new_privs: config.no_new_privs,
        readonly_root: config.readonly_root,
        oom_score_adj: config.resources.oom_score_adj,
        cgroup: settings.limits.container(sandbox, container.id.as_str(), &config.resources)?,
    })
}

fn with_primary_group(run_as: &RunAs) -> RunAs {
    let mut run_as = run_as.clone();
    if let (Some(user), None) = (run_as.user, run_as.group) {
        run_as.group = Some(identity::account(user).map_or(0, |(_, group)| group));
    }
    run_as
}

/// What the container asked for over what every runtime gives. Nothing of this process' own environment.
fn environment(config: &ContainerConfig, sandbox: &SandboxConfig, run_as: &RunAs) -> Vec<(String, String)> {
    let home = identity::account(run_as.user.unwrap_or(0)).map_or("/".to_owned(), |(home, _)| home);
    let hostname = if sandbox.hostname.is_empty() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        sandbox.hostname.clone()
    };
    let mut env = vec![
        ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
        ("HOME".to_owned(), home),
        ("HOSTNAME".to_owned(), hostname),
    ];
    if config.tty {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    for (key, value) in &config.env {
        env.retain(|(have, _)| have != key);
        env.push((key.clone(), value.clone()));
    }
    env
}

/// Whether a name can be part of an id and of a path.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && Path::new(name).components().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ContainerConfig {
        ContainerConfig { name: "c".into(), command: vec!["true".into()], ..Default::default() }
    }

    #[test]
    fn the_environment_is_the_containers_alone() {
        let mut config = config();
        config.env = vec![("A".into(), "1".into()), ("PATH".into(), "/x".into()), ("A".into(), "2".into())];
        let sandbox = SandboxConfig { hostname: "web-0".into(), ..Default::default() };
        let mut env = environment(&config, &sandbox, &RunAs { user: Some(4_000_000), ..Default::default() });
        env.sort();
        let want = [("A", "2"), ("HOME", "/"), ("HOSTNAME", "web-0"), ("PATH", "/x")];
        assert_eq!(env, want.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn an_empty_command_is_refused() {
        let error = check(&ContainerConfig::default(), true).unwrap_err();
        assert_eq!(error.reason(), "CreateContainerError");
        assert!(error.to_string().starts_with("no command specified"));
    }

    #[test]
    fn names_cannot_leave_the_directory() {
        assert!(is_plain_name("web-0.1"));
        for bad in ["", "..", "a/b", "."] {
            assert!(!is_plain_name(bad), "{bad}");
        }
    }
}
