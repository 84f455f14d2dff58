//! Whether a node has room, and the preference for the least full one.

use crate::plugin::{Fragment, Hint, MAX_SCORE, Normal, Plugin, Prepared, Touched, state};
use crate::pod::{PodInfo, Requests};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{CPU, Change, ChangeKind, EPHEMERAL, MEMORY, PODS, View};

/// Refuses nodes without room for what the pod asks; scores by the share of CPU and memory that stays free
/// (`LeastAllocated`, the default strategy, both of weight 1).
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeResourcesFit;

/// What a pod asks, with the message of each resource.
struct Asked {
    fixed: [(usize, i64, &'static str); 3],
    other: Vec<(String, i64, String)>,
    scored: [i64; 2],
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn fragment(&self, pod: &PodInfo, out: &mut Fragment) {
        write(&pod.requests, out);
    }

    fn prepare(&self, _: &View, pod: &PodInfo) -> Prepared {
        let asked = &pod.requests;
        Box::new(Asked {
            fixed: [
                (CPU, asked.cpu, "Insufficient cpu"),
                (MEMORY, asked.memory, "Insufficient memory"),
                (EPHEMERAL, asked.ephemeral, "Insufficient ephemeral-storage"),
            ],
            other: asked.other.iter().map(|(name, n)| (name.to_string(), *n, format!("Insufficient {name}"))).collect(),
            scored: [asked.scored_cpu, asked.scored_memory],
        })
    }

    fn filter(&self, prepared: &Prepared, view: &View, nodes: &mut NodeSet, why: &mut Reasons) {
        let asked = state::<Asked>(prepared);
        let other: Vec<_> =
            asked.other.iter().map(|(name, n, text)| (view.columns().column(name), *n, &**text)).collect();
        let fixed = asked.fixed.iter().map(|(column, n, text)| (Some(*column), *n, *text));
        let wanted: Vec<_> = fixed.chain(other).filter(|(_, n, _)| *n > 0).collect();
        nodes.retain(|slot| {
            let mut fits = true;
            let mut refuse = |text: &str, ever: bool| {
                fits = false;
                why.refuse(slot, self.name(), text, ever);
            };
            let (has, used) = amounts(view, Some(PODS), slot);
            if used + 1 > has {
                refuse("Too many pods", true);
            }
            for (column, n, text) in &wanted {
                let (has, used) = amounts(view, *column, slot);
                if *n > has - used {
                    refuse(text, *n <= has);
                }
            }
            fits
        });
    }

    fn normal(&self, _: &Prepared) -> Option<Normal> {
        Some(Normal::None)
    }

    fn score(&self, prepared: &Prepared, view: &View, nodes: &NodeSet, out: &mut [i64]) {
        let asked = state::<Asked>(prepared);
        let columns = view.columns();
        let (cpu, memory) = columns.scored();
        for slot in nodes.iter() {
            let has = [columns.allocatable(CPU)[slot], columns.allocatable(MEMORY)[slot]];
            let used = [cpu[slot] + asked.scored[0], memory[slot] + asked.scored[1]];
            out[slot] = free_share(has, used);
        }
    }

    fn touched(&self, _: &mut Prepared, change: &Change) -> Touched {
        if matches!(change.kind, ChangeKind::Pod { .. }) { Touched::Node } else { Touched::None }
    }

    fn helped_by(&self, hint: Hint) -> bool {
        matches!(hint, Hint::NodeAdded | Hint::NodeAllocatable | Hint::PodLeft)
    }
}

/// Writes what a pod asks into a signature.
pub(super) fn write(asked: &Requests, out: &mut Fragment) {
    for number in [asked.cpu, asked.memory, asked.ephemeral, asked.scored_cpu, asked.scored_memory] {
        out.number(number);
    }
    out.number(i64::try_from(asked.other.len()).unwrap_or(i64::MAX));
    for (name, n) in &asked.other {
        out.text(name);
        out.number(*n);
    }
}

fn amounts(view: &View, column: Option<usize>, slot: usize) -> (i64, i64) {
    let columns = view.columns();
    column.map_or((0, 0), |column| (columns.allocatable(column)[slot], columns.requested(column)[slot]))
}

/// The mean of the shares that stay free, in hundredths, over the resources that the node has.
fn free_share(has: [i64; 2], used: [i64; 2]) -> i64 {
    let (mut sum, mut count) = (0, 0);
    for (has, used) in has.into_iter().zip(used).filter(|(has, _)| *has != 0) {
        sum += if used > has {
            0
        } else {
            i64::try_from(i128::from(has - used) * i128::from(MAX_SCORE) / i128::from(has)).unwrap_or(0)
        };
        count += 1;
    }
    if count == 0 { 0 } else { sum / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_stays_free() {
        assert_eq!(free_share([4000, 10_000], [3000, 5000]), (25 + 50) / 2);
        assert_eq!(free_share([4000, 0], [3000, 5000]), 25);
        assert_eq!(free_share([1000, 1000], [2000, 0]), 50);
        assert_eq!(free_share([0, 0], [1, 1]), 0);
    }
}
