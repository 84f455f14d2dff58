//! A policy as a statement about one node.

use crate::plugin::{Fragment, Hint, Normal, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::policies::gpu::{self, Ask, GpuNode};
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// A policy whose score of a node depends on the pod's class and on that node alone.
pub trait Rule: Send + Sync + 'static {
    /// The name of the policy.
    fn name(&self) -> &'static str;

    /// How good a node that fits is for a pod; the highest wins.
    fn score(&self, ask: &Ask, node: &GpuNode<'_>) -> i64;

    /// How scores are made comparable; `None` when every node that fits is as good as any other.
    fn normal(&self) -> Option<Normal> {
        Some(Normal::None)
    }

    /// The device for a pod that asks for a share of one: unless said otherwise the tightest that fits.
    fn device(&self, pod: &PodInfo, ask: &Ask, node: &GpuNode<'_>) -> Option<usize> {
        let _ = pod;
        node.tightest(ask.each)
    }
}

/// A rule as a plugin: it scores, and says which devices of the chosen node a pod gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scored<R>(pub R);

impl<R: Rule> Plugin for Scored<R> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        Ask::of(pod).write(out);
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new(Ask::of(pod))
    }

    fn normal(&self, _: &Prepared) -> Option<Normal> {
        self.0.normal()
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let (ask, devices) = (state::<Ask>(prepared), gpu::Devices::of(view));
        for slot in nodes.iter() {
            out[slot] = self.0.score(ask, &devices.node(slot));
        }
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        if matches!(change.kind, ChangeKind::Pod { .. }) { Touched::Node } else { Touched::None }
    }

    fn settle(&self, view: &View, pod: &PodInfo, slot: usize) -> Option<PodInfo> {
        let ask = Ask::of(pod);
        let node = gpu::Devices::of(view).node(slot);
        let taken = match ask.count {
            0 => return None,
            1 if ask.each < gpu::WHOLE => vec![self.0.device(pod, &ask, &node)?],
            count => node.whole().take(count).collect(),
        };
        (taken.len() == ask.count).then(|| gpu::with_devices(pod, &ask, &taken))
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, _: Hint) -> bool {
        false
    }
}
