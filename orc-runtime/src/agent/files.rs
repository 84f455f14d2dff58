//! The files that every pod gets: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, and the termination message.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::context::{Context, name_of, namespace_of, uid_of};
use super::dns;
use crate::machine::Failure;
use crate::runtime::Mount;

/// The pod's host name.
pub(super) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let set = spec.and_then(|spec| spec.hostname_override.as_ref().or(spec.hostname.as_ref()));
    let name = set.filter(|name| !name.is_empty()).map_or_else(|| name_of(pod), String::as_str);
    // A host name is a label of at most 63 characters.
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn hosts(context: &Context, pod: &Pod, status: &PodStatus) -> String {
    let spec = pod.spec.as_ref();
    let mut text =
        String::from("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n");
    let name = hostname(pod);
    let subdomain = spec.and_then(|spec| spec.subdomain.as_deref()).filter(|sub| !sub.is_empty());
    for ip in status.pod_ips.iter().flatten() {
        match subdomain {
            Some(sub) => {
                let (namespace, domain) = (namespace_of(pod), &context.config.cluster_domain);
                text += &format!("{}\t{name}.{sub}.{namespace}.svc.{domain}\t{name}\n", ip.ip);
            }
            None => text += &format!("{}\t{name}\n", ip.ip),
        }
    }
    let aliases: Vec<_> = spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten()).collect();
    if !aliases.is_empty() {
        text += "\n# Entries added by HostAliases.\n";
        for alias in aliases {
            text += &format!(
                "{}\t{}\n",
                alias.ip,
                alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t")
            );
        }
    }
    text
}

/// Writes the files of a container and says how they are mounted. What the container mounts itself is left out.
pub(super) async fn mounts(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    container: &str,
    attempt: u32,
    message_path: Option<&str>,
) -> Result<Vec<Mount>, Failure> {
    let Some(dir) = context.pod_dir(uid_of(pod)) else { return Ok(Vec::new()) };
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    let has_aliases =
        pod.spec.as_ref().is_some_and(|spec| spec.host_aliases.as_ref().is_some_and(|all| !all.is_empty()));
    let mut mounts = Vec::new();
    let mut add = |host: PathBuf, to: &str| {
        mounts.push(Mount { host_path: host, container_path: PathBuf::from(to), ..Mount::default() });
    };
    if !host_network || has_aliases {
        let path = dir.join("etc-hosts");
        write(&path, &hosts(context, pod, status)).await?;
        add(path, "/etc/hosts");
    }
    if !host_network {
        let path = dir.join("etc-hostname");
        write(&path, &format!("{}\n", hostname(pod))).await?;
        add(path, "/etc/hostname");
    }
    if let Some(dns) = dns::dns(context, pod) {
        let path = dir.join("etc-resolv.conf");
        write(&path, &dns::text(&dns)).await?;
        add(path, "/etc/resolv.conf");
    }
    if let (Some(to), Some(file)) = (
        message_path.filter(|path| !path.is_empty()),
        super::observe::message_file(context, uid_of(pod), container, attempt),
    ) {
        write(&file, "").await?;
        open_to_all(&file)?;
        add(file, to);
    }
    Ok(mounts)
}

/// The program may run as any user.
fn open_to_all(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(|error| failure(path, &error))
}

async fn write(path: &Path, text: &str) -> Result<(), Failure> {
    // Written in place: the file may be mounted already, and a new one would not be seen there.
    if tokio::fs::read(path).await.is_ok_and(|present| present == text.as_bytes()) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(|error| failure(parent, &error))?;
    }
    tokio::fs::write(path, text).await.map_err(|error| failure(path, &error))
}

fn failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("CreateContainerConfigError", format!("write {}: {error}", path.display()))
}
