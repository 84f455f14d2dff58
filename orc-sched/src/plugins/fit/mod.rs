//! Whether a node has room, and which of those that have is preferred.

mod strategy;

use orc_core::Name;

pub use self::strategy::{Strategy, Weighed};

use crate::plugin::{Fragment, Hint, Normal, Plugin, Prepared, Touched, state};
use crate::pod::{PodInfo, Requests};
use crate::reasons::Reasons;
use crate::set::NodeSet;
use crate::view::{CPU, Change, ChangeKind, EPHEMERAL, MEMORY, PODS, View};

/// Refuses nodes without room for what the pod asks; scores by how much is used, as a [`Strategy`] says. The default is
/// `LeastAllocated` over CPU and memory.
#[derive(Clone, Debug, Default)]
pub struct NodeResourcesFit {
    /// How nodes are scored.
    pub strategy: Strategy,
    /// Extended resources that are not looked at, by name.
    pub ignored: Vec<Name>,
    /// Extended resources that are not looked at, by what stands before the `/`.
    pub ignored_groups: Vec<Name>,
}

/// What a pod asks, with the message of each resource.
struct Asked {
    fixed: [(usize, i64, &'static str); 3],
    other: Vec<(String, i64, String)>,
    /// For each resource of the strategy what the pod adds; `None` where the resource does not count for this pod.
    scored: Vec<Option<i64>>,
}

impl NodeResourcesFit {
    fn looks_at(&self, resource: &str) -> bool {
        let group = resource.split_once('/').map(|(group, _)| group);
        !self.ignored.iter().any(|name| **name == *resource)
            && !self.ignored_groups.iter().any(|name| Some(&**name) == group)
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn fragment(&self, _: &View, pod: &PodInfo, out: &mut Fragment) {
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
            other: asked
                .other
                .iter()
                .filter(|(name, _)| self.looks_at(name))
                .map(|(name, n)| (name.to_string(), *n, format!("Insufficient {name}")))
                .collect(),
            scored: self.strategy.resources().iter().map(|resource| resource.asked(asked)).collect(),
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
        let resources: Vec<_> = self.strategy.resources().iter().zip(&asked.scored).collect();
        let columns: Vec<_> = resources.iter().map(|(resource, _)| resource.columns(view.columns())).collect();
        let mut used: Vec<(i64, i64, i64)> = Vec::with_capacity(resources.len());
        for slot in nodes.iter() {
            used.clear();
            for ((resource, asked), columns) in resources.iter().zip(&columns) {
                if let (Some(asked), Some((has, used_now))) = (asked, columns)
                    && has[slot] != 0
                {
                    used.push((has[slot], used_now[slot] + asked, resource.weight));
                }
            }
            out[slot] = self.strategy.score(&used);
        }
    }

    fn touched(&self, _: &mut Prepared, _: &View, change: &Change) -> Touched {
        if matches!(change.kind, ChangeKind::Pod { .. }) { Touched::Node } else { Touched::None }
    }

    fn local(&self) -> bool {
        true
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
