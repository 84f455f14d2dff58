//! The preference for nodes that the pod makes more even in their use of CPU and memory.
//!
//! Since 1.36 Kubernetes scores the change that the pod makes (kubernetes/kubernetes#135573): from 50 (an even node becomes
//! lopsided) over 75 (no change) to 100.

use crate::plugin::{Fragment, MAX_SCORE, Normal, Plugin, Prepared, Touched, state};
use crate::pod::PodInfo;
use crate::set::NodeSet;
use crate::view::{CPU, Change, ChangeKind, MEMORY, View};

/// Scores by how much closer to each other the used shares of CPU and memory get. Pods that ask for neither are not scored, or
/// they would gather on one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn fragment(&self, pod: &PodInfo, out: &mut Fragment) {
        out.number(pod.requests.cpu);
        out.number(pod.requests.memory);
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        Box::new([pod.requests.cpu, pod.requests.memory])
    }

    fn normal(&self, prepared: &Prepared) -> Option<Normal> {
        (*state::<[i64; 2]>(prepared) != [0, 0]).then_some(Normal::None)
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let asked = state::<[i64; 2]>(prepared);
        let columns = view.columns();
        for slot in nodes.iter() {
            let share = |column: usize, asked: i64| {
                let has = columns.allocatable(column)[slot];
                (has != 0).then(|| ((columns.requested(column)[slot] + asked) as f64 / has as f64).min(1.0))
            };
            let with = evenness(share(CPU, asked[0]), share(MEMORY, asked[1]));
            let without = evenness(share(CPU, 0), share(MEMORY, 0));
            out[slot] = MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2;
        }
    }

    fn touched(&self, _: &mut Prepared, change: &Change) -> Touched {
        if matches!(change.kind, ChangeKind::Pod { .. }) { Touched::Node } else { Touched::None }
    }

    fn helped_by(&self, _: crate::plugin::Hint) -> bool {
        false
    }
}

/// One minus the standard deviation of the two shares, in hundredths; a node with only one of the resources is even.
fn evenness(cpu: Option<f64>, memory: Option<f64>) -> i64 {
    let deviation = cpu.zip(memory).map_or(0.0, |(cpu, memory)| ((cpu - memory) / 2.0).abs());
    ((1.0 - deviation) * MAX_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_is_best() {
        assert_eq!(evenness(Some(0.5), Some(0.5)), 100);
        assert_eq!(evenness(Some(1.0), Some(0.0)), 50);
        assert_eq!(evenness(None, Some(0.3)), 100);
    }
}
