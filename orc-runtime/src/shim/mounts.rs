//! The host's mounts, read from `/proc/self/mountinfo`, and the small mount helpers that the root file system needs.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind_recursive, mount_change, mount_remount};

/// File systems that hold no files of the host: containers get their own, or none.
const PSEUDO: [&str; 20] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devtmpfs",
    "devpts",
    "mqueue",
    "hugetlbfs",
    "debugfs",
    "tracefs",
    "securityfs",
    "pstore",
    "bpf",
    "fusectl",
    "configfs",
    "autofs",
    "binfmt_misc",
    "nsfs",
    "rpc_pipefs",
    "overlay",
];

/// Where something is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPoint {
    pub(crate) at: PathBuf,
    /// Holds files that belong to what the user calls the host's file system.
    pub(crate) real: bool,
}

/// Parses `mountinfo` (proc_pid_mountinfo(5)).
pub(crate) fn parse(text: &str) -> Vec<MountPoint> {
    text.lines()
        .filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let at = PathBuf::from(unescape(front.split(' ').nth(4)?));
            let kind = back.split(' ').next()?;
            Some(MountPoint { real: !PSEUDO.contains(&kind), at })
        })
        .collect()
}

/// Mount points have blanks and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let code = (bytes[i] == b'\\')
            .then(|| text.get(i + 1..i + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()))
            .flatten();
        out.push(code.unwrap_or(bytes[i]));
        i += if code.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The mounts of this process, those below `/proc`, `/sys` and `/dev` left out.
pub(crate) fn of_this_process() -> io::Result<Vec<MountPoint>> {
    let mut all = parse(&std::fs::read_to_string("/proc/self/mountinfo")?);
    all.retain(|mount| !["/proc", "/sys", "/dev"].iter().any(|own| mount.at.starts_with(own)));
    all.sort_by(|a, b| a.at.cmp(&b.at));
    all.dedup_by(|later, first| {
        let same = later.at == first.at;
        first.real |= same && later.real;
        same
    });
    Ok(all)
}

/// Adds "what": it names the path in the error.
pub(crate) fn named<T>(result: rustix::io::Result<T>, what: &str, path: &Path) -> io::Result<T> {
    result.map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
    })
}

/// Makes an existing mount read-only. Flags that a less privileged namespace may not drop are kept.
pub(crate) fn make_readonly(at: &Path) -> io::Result<()> {
    let have = named(statvfs(at), "stat", at)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (is, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if have.contains(is) {
            flags |= flag;
        }
    }
    named(mount_remount(at, flags, c""), "make read-only", at)
}

/// Shows `from` at `at` as well, without propagation.
pub(crate) fn bind(from: &Path, at: &Path) -> io::Result<()> {
    named(mount_bind_recursive(from, at), "bind", at)?;
    named(mount_change(at, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC), "make private", at)
}

/// Makes an empty file or directory to mount on, like `like`.
pub(crate) fn make_target(at: &Path, directory: bool) -> io::Result<()> {
    if directory {
        return std::fs::create_dir_all(at);
    }
    if at.exists() {
        // Also one that may not be written: it is only mounted on.
        return Ok(());
    }
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if std::fs::symlink_metadata(at).is_ok_and(|have| have.is_symlink()) {
        std::fs::remove_file(at)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(at).map(drop)
}

/// Copies mode and, where the namespace can express it, the owner.
pub(crate) fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let have = std::fs::metadata(from)?;
    // An owner that the user namespace does not map cannot be given; ours is then right.
    let _ = std::os::unix::fs::chown(to, Some(have.uid()), Some(have.gid()));
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(have.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read() {
        let text = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                    30 22 0:5 / /mnt/my\\040disk rw master:2 - xfs /dev/vdb rw\n\
                    31 22 0:6 / /run/x rw - cgroup2 none rw\n";
        let got = parse(text);
        assert_eq!(got[1], MountPoint { at: "/mnt/my disk".into(), real: true });
        assert_eq!(got.iter().map(|m| m.real).collect::<Vec<_>>(), [true, true, false]);
    }
}
