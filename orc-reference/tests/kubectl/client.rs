//! Which kubectl is on the path.

use crate::support::Cluster;

/// The minor version of the kubectl that talks to a cluster: some kubectls on the path choose another by the server.
pub fn minor(cluster: &Cluster) -> u32 {
    let said = cluster.ok(&["version", "-o", "json"]);
    let version: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("kubectl version has no minor: {said}"))
}
