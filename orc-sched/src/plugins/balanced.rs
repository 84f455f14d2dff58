//! The preference for nodes that the pod makes more even in their use of CPU and memory.
//!
//! Since 1.36 Kubernetes scores the change that the pod makes (kubernetes/kubernetes#135573): from 50 (an even node becomes
//! lopsided) over 75 (no change) to 100.

use orc_core::Name;

use crate::plugin::{Fragment, MAX_SCORE, Normal, Plugin, Prepared, Touched, state};
use crate::pod::{PodInfo, is_other};
use crate::set::NodeSet;
use crate::view::{Change, ChangeKind, View};

/// Scores by how much closer to each other the used shares of CPU and memory get. Pods that ask for neither are not scored, or
/// they would gather on one node.
#[derive(Clone, Debug)]
pub struct NodeResourcesBalancedAllocation {
    /// The resources whose shares should be equal.
    pub resources: Vec<Name>,
}

impl Default for NodeResourcesBalancedAllocation {
    fn default() -> Self {
        Self { resources: ["cpu", "memory"].map(Name::from).to_vec() }
    }
}

/// What a pod asks of a resource.
fn asked(pod: &PodInfo, resource: &str) -> i64 {
    match resource {
        "cpu" => pod.requests.cpu,
        "memory" => pod.requests.memory,
        "ephemeral-storage" => pod.requests.ephemeral,
        "pods" => 1,
        name => pod.requests.other.iter().find(|(other, _)| **other == *name).map_or(0, |(_, n)| *n),
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
        self.resources.iter().for_each(|resource| out.number(asked(pod, resource)));
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        // Extended resources that the pod does not ask for are not looked at.
        let counts = |name: &&Name| !is_other(name) || asked(pod, name) != 0;
        Box::new(self.resources.iter().filter(counts).map(|name| (name.clone(), asked(pod, name))).collect::<Asked>())
    }

    fn concerned(&self, prepared: &Prepared) -> bool {
        state::<Asked>(prepared).iter().any(|(_, asked)| *asked != 0)
    }

    fn normal(&self, _: &Prepared) -> Option<Normal> {
        Some(Normal::None)
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let columns = view.columns();
        let asked: Vec<_> = state::<Asked>(prepared)
            .iter()
            .filter_map(|(name, asked)| {
                let column = columns.column(name)?;
                Some((columns.allocatable(column), columns.requested(column), *asked))
            })
            .collect();
        let (mut with, mut without) = (Vec::with_capacity(asked.len()), Vec::with_capacity(asked.len()));
        for slot in nodes.iter() {
            with.clear();
            without.clear();
            for (has, used, asked) in asked.iter().filter(|(has, ..)| has[slot] != 0) {
                let share = |used: i64| (used as f64 / has[slot] as f64).min(1.0);
                with.push(share(used[slot] + asked));
                without.push(share(used[slot]));
            }
            out[slot] = MAX_SCORE / 2 + (MAX_SCORE / 2 + evenness(&with) - evenness(&without)) / 2;
        }
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        if matches!(change.kind, ChangeKind::Pod { .. }) { Touched::Node } else { Touched::None }
    }

    fn local(&self) -> bool {
        true
    }

    fn helped_by(&self, _: crate::plugin::Hint) -> bool {
        false
    }
}

/// What a pod asks of each resource.
type Asked = Vec<(Name, i64)>;

/// One minus the standard deviation of the shares, in hundredths; a node with only one of the resources is even.
fn evenness(shares: &[f64]) -> i64 {
    let deviation = match shares {
        [] | [_] => 0.0,
        [one, other] => ((one - other) / 2.0).abs(),
        all => {
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            (all.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt()
        }
    };
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_is_best() {
        assert_eq!(evenness(&[0.5, 0.5]), 100);
        assert_eq!(evenness(&[1.0, 0.0]), 50);
        assert_eq!(evenness(&[0.3]), 100);
        assert_eq!(evenness(&[0.2, 0.2, 0.8]), 71);
    }
}
