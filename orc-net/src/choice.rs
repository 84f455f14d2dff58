//! Which endpoint a connection goes to: pure functions of the routes, where the connection comes from, and what was tried.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::routes::{Backend, TrafficPolicy};

/// A node whose connections this data plane carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalNode {
    /// Its name.
    pub name: String,
    /// The network of its pods and its own address.
    pub range: (Ipv4Addr, u8),
}

impl LocalNode {
    fn has(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else { return false };
        let (base, bits) = self.range;
        let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
        (ip.to_bits() ^ base.to_bits()) & mask == 0
    }
}

/// How a connection came to a Service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// At a cluster address.
    Internal,
    /// At a node port or an external address.
    External,
}

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// The client's address.
    pub client: IpAddr,
    /// The address that it came to.
    pub to: IpAddr,
    /// How it came.
    pub side: Side,
}

/// The nodes whose endpoints a connection may go to; `None` is all of the cluster.
///
/// A pod is on the node whose range its address is of; of everything else it cannot be said which of this data plane's nodes
/// it reached, unless it used that node's own address, so it may go to all of those. As with kube-proxy, the external policy
/// holds for clients from outside alone: the cluster's own pods and this host have no source address to lose.
pub fn nodes<'a>(origin: &Origin, policy: TrafficPolicy, local: &'a [LocalNode]) -> Option<Vec<&'a str>> {
    if policy == TrafficPolicy::Cluster {
        return None;
    }
    let of = |ip: IpAddr| local.iter().find(|node| node.has(ip));
    let near = match origin.side {
        Side::Internal => of(origin.client),
        Side::External if is_inside(origin, of(origin.client)) => return None,
        Side::External => of(origin.to),
    };
    Some(near.map_or_else(|| local.iter().map(|node| node.name.as_str()).collect(), |node| vec![node.name.as_str()]))
}

fn is_inside(origin: &Origin, node: Option<&LocalNode>) -> bool {
    node.is_some() || origin.client.is_loopback() || origin.client == origin.to
}

/// The endpoints that may be used, in their order: the ready ones of these nodes, and while there are none, those that still
/// serve while they terminate (KEP-1669).
pub fn usable(endpoints: &[Backend], nodes: Option<&[&str]>) -> Vec<SocketAddr> {
    let near = |backend: &&Backend| {
        nodes.is_none_or(|nodes| backend.node.as_deref().is_some_and(|node| nodes.contains(&node)))
    };
    let of = |draining: bool| -> Vec<SocketAddr> {
        let fits = endpoints.iter().filter(near).filter(|backend| backend.draining == draining);
        fits.map(|backend| backend.address).collect()
    };
    let ready = of(false);
    if ready.is_empty() { of(true) } else { ready }
}

/// The one to use: the client's own if it may still be used, else the next in turn, and never one that was tried already.
pub fn pick(usable: &[SocketAddr], turn: usize, own: Option<SocketAddr>, tried: &[SocketAddr]) -> Option<SocketAddr> {
    let left: Vec<SocketAddr> = usable.iter().copied().filter(|one| !tried.contains(one)).collect();
    let own = own.filter(|own| left.contains(own));
    own.or_else(|| left.get(turn.checked_rem(left.len())?).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backend(number: u8, node: u8, draining: bool) -> Backend {
        let node = (node > 0).then(|| format!("node-{node}").into());
        Backend { address: ([10, 1, node_octet(&node), number], 80).into(), node, draining }
    }

    fn node_octet(node: &Option<std::sync::Arc<str>>) -> u8 {
        node.as_ref().map_or(9, |node| node.as_bytes()[5] - b'0')
    }

    fn cluster() -> Vec<LocalNode> {
        (1..=2).map(|n| LocalNode { name: format!("node-{n}"), range: (Ipv4Addr::new(10, 1, n, 0), 24) }).collect()
    }

    fn from(client: [u8; 4], to: [u8; 4], side: Side) -> Origin {
        Origin { client: client.into(), to: to.into(), side }
    }

    #[test]
    fn a_policy_of_local_keeps_to_the_node_of_the_client_or_the_address() {
        let all = cluster();
        let local = |origin| nodes(&origin, TrafficPolicy::Local, &all);
        assert_eq!(local(from([10, 1, 2, 7], [10, 96, 0, 9], Side::Internal)), Some(vec!["node-2"]));
        assert_eq!(local(from([192, 0, 2, 1], [10, 96, 0, 9], Side::Internal)), Some(vec!["node-1", "node-2"]));
        assert_eq!(local(from([192, 0, 2, 1], [10, 1, 1, 1], Side::External)), Some(vec!["node-1"]));
        assert_eq!(local(from([192, 0, 2, 1], [192, 0, 2, 9], Side::External)), Some(vec!["node-1", "node-2"]));
        assert_eq!(local(from([10, 1, 2, 7], [192, 0, 2, 9], Side::External)), None, "a pod of the cluster");
        assert_eq!(local(from([127, 0, 0, 1], [127, 0, 0, 1], Side::External)), None, "this host");
        assert_eq!(nodes(&from([10, 1, 2, 7], [10, 96, 0, 9], Side::Internal), TrafficPolicy::Cluster, &all), None);
    }

    #[test]
    fn what_terminates_serves_only_where_nothing_else_is_left() {
        let all = [backend(1, 1, false), backend(2, 2, true), backend(3, 3, false)];
        let of = |nodes: Option<&[&str]>| usable(&all, nodes);
        assert_eq!(of(None), [all[0].address, all[2].address]);
        assert_eq!(of(Some(&["node-2"])), [all[1].address]);
        assert_eq!(of(Some(&["node-9"])), []);
    }

    proptest! {
        #[test]
        fn every_usable_one_is_tried_once_and_no_other(
            made in prop::collection::vec((1..5_u8, any::<bool>()), 0..12),
            node in prop::option::of(1..5_u8),
            turn in any::<usize>(),
            own in 0..12_u8,
        ) {
            let all: Vec<Backend> = (0..).zip(&made).map(|(n, (node, draining))| backend(n, *node, *draining)).collect();
            let name = node.map(|node| format!("node-{node}"));
            let names = name.as_ref().map(|name| vec![name.as_str()]);
            let usable = usable(&all, names.as_deref());
            let near = |one: &&Backend| name.is_none() || one.node.as_deref() == name.as_deref();
            let ready = all.iter().filter(near).filter(|one| !one.draining).count();
            let draining = all.iter().filter(near).filter(|one| one.draining).count();
            prop_assert_eq!(usable.len(), if ready > 0 { ready } else { draining });

            let own = all.get(usize::from(own)).map(|one| one.address);
            let mut tried = Vec::new();
            while let Some(one) = pick(&usable, turn.wrapping_add(tried.len()), own, &tried) {
                if tried.is_empty() && own.is_some_and(|own| usable.contains(&own)) {
                    prop_assert_eq!(Some(one), own);
                }
                tried.push(one);
                prop_assert!(tried.len() <= usable.len());
            }
            tried.sort();
            let mut wanted = usable.clone();
            wanted.sort();
            prop_assert_eq!(tried, wanted);
        }
    }
}
