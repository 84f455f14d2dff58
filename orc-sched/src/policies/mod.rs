//! Policies from research, each a plugin that runs in an experiment and in a cluster alike.
//!
//! | name | idea | source |
//! |---|---|---|
//! | [`Random`] | any node that will do | the baseline of the others |
//! | [`DotProd`] | the node whose free vector points least along the pod's | Grandl et al., *Multi-resource packing for cluster schedulers*, SIGCOMM 2014 |
//! | [`GpuClustering`] | pods that want GPUs alike go together | Xiao et al., *Gandiva*, OSDI 2018 |
//! | [`GpuPacking`] | shared GPUs first, then used nodes, then idle ones | Weng et al., *MLaaS in the wild*, NSDI 2022 |
//! | [`BestFit`] | the node with the least left over | Panigrahy et al., *Heuristics for vector bin packing*, 2011 |
//! | [`Fgd`] | the node that becomes least fragmented | Weng et al., *Beware of fragmentation*, USENIX ATC 2023 |
//! | [`Tempered`] | our own: FGD that also sees CPU running short beside free GPUs | `docs/design/fgd.md` |
//!
//! The scores are those of the artifact of *Beware of fragmentation*, by which all but the last are known. A policy is a
//! [`Rule`] about one node, made a plugin by [`Scored`]; what GPUs are to the engine stands in [`gpu`].

mod best_fit;
mod clustering;
mod dot_prod;
mod fgd;
pub mod gpu;
mod packing;
mod random;
mod rule;
mod tempered;

use std::sync::Arc;

pub use best_fit::BestFit;
pub use clustering::GpuClustering;
pub use dot_prod::DotProd;
pub use fgd::Fgd;
use gpu::{GpuFit, Typical};
pub use packing::GpuPacking;
pub use random::Random;
pub use rule::{Rule, Scored};
pub use tempered::{Temper, Tempered};

use crate::plugins::{NodeAffinity, NodeResourcesFit};
use crate::profile::Profile;

/// The names that [`named`] knows.
pub const NAMES: [&str; 7] = ["Random", "DotProd", "GpuClustering", "GpuPacking", "BestFit", "FGD", "Tempered"];

/// A policy of this module by its name (in any case): CPU, memory, GPU and GPU type as filters, and the policy's score alone.
/// `typical` is what fragmentation is measured by, `seed` what Random draws devices from.
pub fn named(name: &str, typical: &Arc<Typical>, seed: u64) -> Option<Profile> {
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name))?;
    Some(match *known {
        "Random" => profile(Random { seed }),
        "DotProd" => profile(DotProd),
        "GpuClustering" => profile(GpuClustering),
        "GpuPacking" => profile(GpuPacking),
        "BestFit" => profile(BestFit),
        "FGD" => profile(Fgd { typical: typical.clone() }),
        _ => profile(Tempered::new(typical.clone())),
    })
}

/// A profile that filters by CPU, memory, GPU and GPU type, and scores by one rule alone.
pub fn profile(rule: impl Rule) -> Profile {
    let name = rule.name();
    Profile::empty(name)
        .with(NodeAffinity::default(), 0)
        .with(NodeResourcesFit::default(), 0)
        .with(GpuFit, 0)
        .with(Scored(rule), 1)
}
