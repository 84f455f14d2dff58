//! Which ids exist in the user namespace.
//!
//! With a range in `/etc/subuid` and `/etc/subgid` and the setuid helpers `newuidmap` and `newgidmap`, ids from 1 up
//! map to that range. Without, only the user exists, as root, and its groups cannot be changed.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

#[derive(Clone, Copy)]
enum Kind {
    User,
    Group,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::User => "uid",
            Self::Group => "gid",
        }
    }
}

/// Maps the ids of the process' fresh user namespace.
pub(super) fn map(pid: i32) -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let name = user_name(uid);
    for (kind, own) in [(Kind::User, uid), (Kind::Group, gid)] {
        if !with_range(pid, kind, own, uid, name.as_deref()) {
            single(pid, kind, own)?;
        }
    }
    Ok(())
}

fn with_range(pid: i32, kind: Kind, own: u32, uid: u32, name: Option<&str>) -> bool {
    let text = fs::read_to_string(format!("/etc/sub{}", kind.word())).unwrap_or_default();
    let Some((first, count)) = range_of(&text, uid, name) else { return false };
    let mut command = Command::new(format!("new{}map", kind.word()));
    for number in [pid.unsigned_abs(), 0, own, 1, 1, first, count] {
        command.arg(number.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn single(pid: i32, kind: Kind, own: u32) -> io::Result<()> {
    if let Kind::Group = kind {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    let path = format!("/proc/{pid}/{}_map", kind.word());
    fs::write(&path, format!("0 {own} 1")).map_err(|e| io::Error::new(e.kind(), format!("write {path}: {e}")))
}

/// The user's range in a `subuid` file: `name-or-uid:first:count`.
fn range_of(text: &str, uid: u32, name: Option<&str>) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        if who != uid.to_string() && Some(who) != name {
            return None;
        }
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn user_name(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields[0].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_range_is_found() {
        let text = "alice:100000:65536\n1001:165536:65536\n";
        assert_eq!(range_of(text, 1000, Some("alice")), Some((100_000, 65536)));
        assert_eq!(range_of(text, 1001, None), Some((165_536, 65536)));
        assert_eq!(range_of(text, 1002, Some("bob")), None);
    }
}
