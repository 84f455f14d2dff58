//! Users, groups and capabilities: what can be given here.

use std::fs;

use crate::runtime::{ContainerConfig, RunAs};

/// Capabilities in the kernel's order (capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What containerd gives a container that asks for nothing.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

fn bits(names: &[String]) -> Result<u64, String> {
    names.iter().try_fold(0, |all, name| {
        let short = name.to_uppercase();
        let short = short.strip_prefix("CAP_").unwrap_or(&short);
        if short == "ALL" {
            return Ok(u64::MAX);
        }
        let number = NAMES.iter().position(|known| *known == short);
        number.map(|n| all | 1 << n).ok_or_else(|| format!("unknown capability {name:?}"))
    })
}

/// The capabilities of a container, bits by number.
pub(crate) fn capabilities(config: &ContainerConfig) -> Result<u64, String> {
    if config.privileged {
        return Ok(u64::MAX);
    }
    let default = bits(&DEFAULT.map(str::to_owned))?;
    let (add, drop) = (bits(&config.add_capabilities)?, bits(&config.drop_capabilities)?);
    // `drop: [ALL], add: [X]` leaves X.
    Ok(if drop == u64::MAX { add } else { (default | add) & !drop })
}

/// Whether the ids exist in this user namespace; a sentence when not.
pub(crate) fn check(run_as: &RunAs) -> Result<(), String> {
    let read = |file: &str| fs::read_to_string(file).map_err(|e| format!("read {file}: {e}"));
    let (users, groups) = (read("/proc/self/uid_map")?, read("/proc/self/gid_map")?);
    if let Some(user) = run_as.user.filter(|id| !is_mapped(&users, *id)) {
        return Err(format!(
            "user {user} cannot be used here: this node runs without root and maps the ids {}; run orc as root, or \
             give your user a range in /etc/subuid",
            ranges(&users)
        ));
    }
    if let Some(group) = run_as.group.iter().chain(&run_as.supplemental).find(|id| !is_mapped(&groups, **id)) {
        return Err(format!(
            "group {group} cannot be used here: this node runs without root and maps the ids {}; run orc as root, \
             or give your user a range in /etc/subgid",
            ranges(&groups)
        ));
    }
    Ok(())
}

fn lines(map: &str) -> impl Iterator<Item = (u64, u64)> + '_ {
    map.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let first = words.next()?.parse().ok()?;
        Some((first, words.nth(1)?.parse().ok()?))
    })
}

fn is_mapped(map: &str, id: u32) -> bool {
    lines(map).any(|(first, count)| (first..first + count).contains(&u64::from(id)))
}

fn ranges(map: &str) -> String {
    lines(map).map(|(first, count)| format!("{first}-{}", first + count - 1)).collect::<Vec<_>>().join(", ")
}

/// Home directory and primary group of a user, from `/etc/passwd`.
pub(crate) fn account(user: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(user)).then(|| Some((fields.get(5)?.to_string(), fields[3].parse().ok()?)))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_add_up() {
        let config = |add: &[&str], drop: &[&str]| ContainerConfig {
            add_capabilities: add.iter().map(|s| s.to_string()).collect(),
            drop_capabilities: drop.iter().map(|s| s.to_string()).collect(),
            ..Default::default()
        };
        let admin = 1 << 21;
        assert_eq!(capabilities(&config(&["SYS_ADMIN"], &["ALL"])).unwrap(), admin);
        assert_eq!(capabilities(&config(&[], &[])).unwrap() & admin, 0);
        assert_eq!(capabilities(&config(&[], &["CAP_CHOWN"])).unwrap() & 1, 0);
        assert!(capabilities(&config(&["FLY"], &[])).is_err());
    }

    #[test]
    fn maps_are_read() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert!(is_mapped(map, 0) && is_mapped(map, 65536));
        assert!(!is_mapped(map, 65537));
        assert_eq!(ranges(map), "0-0, 1-65536");
    }
}
