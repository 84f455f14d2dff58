//! The `resolv.conf` of a pod: what its `dnsPolicy` makes of node, cluster and pod, by the kubelet's rules.

use k8s_openapi::api::core::v1::Pod;

use super::config::AgentConfig;
use super::context::{Context, namespace_of};
use crate::runtime::DnsConfig;

/// What the C library reads at most of `nameserver` lines, and what the API takes of a pod's own.
const MAX_SERVERS: usize = 3;
/// What the API takes at most of search domains, and so what is passed on.
const MAX_SEARCHES: usize = 32;
/// The longest list of search domains, characters with the spaces between them.
const MAX_SEARCH_LENGTH: usize = 2048;

/// The pod's resolver file on this node. `None`: it sees the node's own.
pub(super) fn dns(context: &Context, pod: &Pod) -> Option<DnsConfig> {
    let node = if context.config.is_simulated() { DnsConfig::default() } else { of_node() };
    of_pod(&context.config, pod, &node)
}

/// The node's own resolver file. Where systemd's stub is in it, which listens on the node's loopback alone and no pod can reach,
/// the list of real resolvers that it keeps beside is taken. Two small files of the system: read in place.
fn of_node() -> DnsConfig {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| parse(&text));
    let own = read("/etc/resolv.conf").unwrap_or_default();
    if own.servers.is_empty() || own.servers.iter().any(|server| server != "127.0.0.53") {
        return own;
    }
    read("/run/systemd/resolve/resolv.conf").unwrap_or(own)
}

/// Reads a `resolv.conf`. Of several `search` lines the last counts; options add up.
fn parse(text: &str) -> DnsConfig {
    let mut dns = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.servers.extend(words.next()),
            Some("search" | "domain") => dns.searches = words.filter(|word| word != ".").collect(),
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

fn of_pod(config: &AgentConfig, pod: &Pod, node: &DnsConfig) -> Option<DnsConfig> {
    let spec = pod.spec.as_ref()?;
    let host_network = spec.host_network.unwrap_or(false);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !host_network,
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut dns = if policy == "None" {
        DnsConfig::default()
    } else if cluster && !config.cluster_dns.is_empty() {
        let domain = &config.cluster_domain;
        let mut searches = vec![format!("{}.svc.{domain}", namespace_of(pod)), format!("svc.{domain}"), domain.clone()];
        searches.extend(node.searches.iter().cloned());
        let servers = config.cluster_dns.iter().map(ToString::to_string).collect();
        DnsConfig { servers, searches, options: vec!["ndots:5".to_owned()] }
    } else {
        // The node's stub is of no use in a network of the pod's own, so the file differs from the node's there too.
        if spec.dns_config.is_none() && host_network {
            return None;
        }
        node.clone()
    };
    if let Some(own) = &spec.dns_config {
        dns.servers.extend(own.nameservers.iter().flatten().cloned());
        dns.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            dns.options.retain(|known| *known != name && !known.starts_with(&format!("{name}:")));
            dns.options.push(option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}")));
        }
    }
    Some(limit(dns))
}

/// Each entry once, and no more than resolvers read.
fn limit(mut dns: DnsConfig) -> DnsConfig {
    unique(&mut dns.servers);
    unique(&mut dns.searches);
    let (servers, searches) = (dns.servers.len(), dns.searches.len());
    dns.servers.truncate(MAX_SERVERS);
    dns.searches.truncate(MAX_SEARCHES);
    while dns.searches.join(" ").len() > MAX_SEARCH_LENGTH {
        dns.searches.pop();
    }
    if dns.servers.len() < servers || dns.searches.len() < searches {
        tracing::warn!(
            servers,
            searches,
            "a pod's resolver file has more nameservers or search domains than are read; the last ones are left out"
        );
    }
    dns
}

fn unique(list: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|entry| seen.insert(entry.clone()));
}

/// The text of the file.
pub(super) fn text(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    dns.servers.iter().for_each(|server| text += &format!("nameserver {server}\n"));
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(spec: serde_json::Value) -> Option<String> {
        let mut config = AgentConfig::simulated("n");
        config.cluster_dns = vec!["10.96.0.10".parse().unwrap()];
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"namespace": "d", "name": "p"}, "spec": spec})).unwrap();
        let node = parse("# c\nsearch old\nsearch lan .\nnameserver 192.0.2.1\noptions edns0\n");
        of_pod(&config, &pod, &node).map(|dns| text(&dns))
    }

    const CLUSTER: &str =
        "search d.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n";
    const NODE: &str = "search lan\nnameserver 192.0.2.1\noptions edns0\n";

    #[test]
    fn each_policy_has_its_file() {
        let of = |policy: &str, host: bool| file(json!({"containers": [], "dnsPolicy": policy, "hostNetwork": host}));
        assert_eq!(file(json!({"containers": []})).unwrap(), CLUSTER);
        assert_eq!(of("ClusterFirst", false).unwrap(), CLUSTER);
        assert_eq!(of("ClusterFirst", true), None, "the host's own");
        assert_eq!(of("ClusterFirstWithHostNet", true).unwrap(), CLUSTER);
        assert_eq!(of("Default", false).unwrap(), NODE);
        assert_eq!(of("Default", true), None);
        assert_eq!(of("None", false).unwrap(), "");
    }

    #[test]
    fn the_pods_own_is_merged() {
        let own = json!({"nameservers": ["192.0.2.1", "192.0.2.2"], "searches": ["lan", "mine"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "rotate"}]});
        let of = |policy: &str| file(json!({"containers": [], "dnsPolicy": policy, "dnsConfig": own})).unwrap();
        assert_eq!(
            of("ClusterFirst"),
            "search d.svc.cluster.local svc.cluster.local cluster.local lan mine\nnameserver 10.96.0.10\n\
             nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2 rotate\n"
        );
        assert_eq!(of("None"), "search lan mine\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2 rotate\n");
        assert_eq!(
            of("Default"),
            "search lan mine\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions edns0 ndots:2 rotate\n"
        );
    }
}
