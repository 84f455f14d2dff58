//! The host's own names and resolvers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

/// How often the files are read. Their change is rare, and reading is cheaper than a watch that may be lost.
const EVERY: Duration = Duration::from_secs(2);
/// The port of DNS.
pub const PORT: u16 = 53;
/// As many resolvers as the C library asks.
const MAX_SERVERS: usize = 3;
/// A longer file is somebody's block list; more of it is not kept in memory.
const MAX_FILE: usize = 1 << 20;

/// Where the host's files are.
#[derive(Clone, Debug)]
pub struct HostFiles {
    /// Usually `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Usually `/etc/hosts`.
    pub hosts: PathBuf,
}

impl Default for HostFiles {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into() }
    }
}

/// What the files say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostNames {
    /// The resolvers, in their order.
    pub servers: Vec<SocketAddr>,
    /// Addresses by name in lower case.
    pub names: BTreeMap<String, Vec<IpAddr>>,
}

/// The last reading.
#[derive(Clone, Default)]
pub(super) struct Current(Arc<RwLock<Arc<HostNames>>>);

impl Current {
    pub(super) fn get(&self) -> Arc<HostNames> {
        self.0.read().clone()
    }

    /// Reads the files once.
    pub(super) async fn refresh(&self, files: &HostFiles) {
        let wanted = files.clone();
        let read = move || HostNames::parse(&text(&wanted.resolv_conf), &text(&wanted.hosts));
        let Ok(read) = tokio::task::spawn_blocking(read).await else { return };
        if *self.get() != read {
            tracing::info!(servers = ?read.servers, "the host's resolvers");
            *self.0.write() = Arc::new(read);
        }
    }

    /// Reads the files again and again.
    pub(super) async fn follow(self, files: HostFiles) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.refresh(&files).await;
        }
    }
}

/// A file that is missing says nothing, as to the C library.
fn text(path: &Path) -> String {
    let mut bytes = std::fs::read(path).unwrap_or_default();
    bytes.truncate(MAX_FILE);
    String::from_utf8_lossy(&bytes).into_owned()
}

impl HostNames {
    /// Reads both files. What cannot be read in a line is passed over, as by the C library.
    pub fn parse(resolv_conf: &str, hosts: &str) -> Self {
        let servers = resolv_conf.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
        });
        let servers = servers.take(MAX_SERVERS).map(|ip| SocketAddr::new(ip, PORT)).collect();
        let mut names = BTreeMap::<String, Vec<IpAddr>>::new();
        for line in hosts.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words.map(|word| word.trim_end_matches('.').to_ascii_lowercase()) {
                // The host's loopback is not the pod's: only `localhost` itself means the same in both.
                let known = names.entry(name);
                if (!address.is_loopback() || known.key() == "localhost") && !address.is_unspecified() {
                    let addresses = known.or_default();
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
            }
        }
        Self { servers, names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_as_the_c_library_reads_them() {
        let resolv = "# x\nnameserver 9.9.9.9\nnameserver bad\nsearch a b\nnameserver ::1\noptions ndots:2\n";
        let hosts = "127.0.0.1 localhost\n127.0.1.1 me\n192.0.2.7 Box box.lan # c\nnonsense\n::1 localhost\n";
        let read = HostNames::parse(resolv, hosts);
        assert_eq!(read.servers, ["9.9.9.9:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(read.names["box"], ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(read.names["box.lan"].len(), 1);
        assert_eq!(read.names["localhost"].len(), 2);
        assert!(!read.names.contains_key("me"), "the host's loopback is not the pod's");
    }
}
