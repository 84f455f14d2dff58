//! What can happen to an engine in the property test.

use proptest::prelude::*;

pub(crate) const PODS: usize = 72;
pub(crate) const NODES: usize = 7;

/// One thing that happens to an engine.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Node(usize, Shape),
    NodeGone(usize),
    /// A pod is decided about and, if it fits, assumed.
    Schedule(usize, u64),
    Confirm(usize),
    Elsewhere(usize, usize),
    PodGone(usize),
    Forget(usize),
    Nominate(usize, usize),
    Clear(usize),
    /// The namespace gets the label that a selector of namespaces asks for, or loses it.
    Team(bool),
    /// A service means some pods, or none.
    Service(bool),
    /// A node has devices: none, two, three, or those of a pool that is not complete.
    Devices(usize, usize),
    /// The claim of a pod (or the one that several share) is there, without devices as far as is told.
    Claim(Option<usize>),
    ClaimGone(Option<usize>),
    /// Somebody else gave the first device of a node to a claim.
    Held(Option<usize>, usize),
    /// A mark, acts, and the way back.
    WhatIf(Vec<Act>),
}

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) zone: usize,
    pub(crate) taint: usize,
    pub(crate) cordoned: bool,
}

pub(crate) fn acts(depth: u32) -> impl Strategy<Value = Act> {
    let shape = (1i64..5, 1i64..4, 0usize..4, 0usize..6, prop::bool::weighted(0.1));
    let shape =
        shape.prop_map(|(cpu, memory, zone, taint, cordoned)| Shape { cpu: cpu * 500, memory, zone, taint, cordoned });
    let leaf = prop_oneof![
        3 => (0..NODES, shape).prop_map(|(node, shape)| Act::Node(node, shape)),
        1 => (0..NODES).prop_map(Act::NodeGone),
        8 => (0..PODS, any::<u64>()).prop_map(|(pod, seed)| Act::Schedule(pod, seed)),
        2 => (0..PODS).prop_map(Act::Confirm),
        1 => (0..PODS, 0..NODES).prop_map(|(pod, node)| Act::Elsewhere(pod, node)),
        2 => (0..PODS).prop_map(Act::PodGone),
        1 => (0..PODS).prop_map(Act::Forget),
        1 => (0..PODS, 0..NODES).prop_map(|(pod, node)| Act::Nominate(pod, node)),
        1 => (0..PODS).prop_map(Act::Clear),
        1 => any::<bool>().prop_map(Act::Team),
        1 => any::<bool>().prop_map(Act::Service),
        2 => (0..NODES, 0usize..4).prop_map(|(node, devices)| Act::Devices(node, devices)),
        2 => claims().prop_map(Act::Claim),
        1 => claims().prop_map(Act::ClaimGone),
        1 => (claims(), 0..NODES).prop_map(|(claim, node)| Act::Held(claim, node)),
    ];
    leaf.prop_recursive(depth, 24, 6, |inner| prop::collection::vec(inner, 1..6).prop_map(Act::WhatIf))
}

/// Pods with a claim of their own, or the claim that is shared.
fn claims() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![3 => (0..PODS / 24, 20usize..24).prop_map(|(round, sort)| Some(24 * round + sort)), 1 => Just(None)]
}
