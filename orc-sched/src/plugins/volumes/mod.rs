//! Storage: which nodes can have what a pod's claims name.

mod binding;
mod find;
mod limits;
mod restrictions;
mod zone;

pub use binding::VolumeBinding;
pub(crate) use find::is_bound;
pub use limits::NodeVolumeLimits;
pub use restrictions::VolumeRestrictions;
pub use zone::VolumeZone;

use orc_core::Name;

use crate::facts::FactKind;
use crate::plugin::{Fragment, Touched};
use crate::pod::PodInfo;
use crate::view::{Change, ChangeKind};

/// The namespace and the claims of a pod, as plugins of storage read them.
#[derive(Clone, Debug)]
struct Claims {
    namespace: Name,
    names: Vec<Name>,
}

impl Claims {
    fn of(pod: &PodInfo) -> Self {
        let names = pod.claims.iter().map(|claim| claim.name.clone()).collect();
        Self { namespace: Name::new(pod.key.namespace_str()), names }
    }

    fn write(pod: &PodInfo, out: &mut Fragment) {
        out.number(i64::try_from(pod.claims.len()).unwrap_or(i64::MAX));
        if !pod.claims.is_empty() {
            out.text(pod.key.namespace_str());
            pod.claims.iter().for_each(|claim| out.text(&claim.name));
        }
    }
}

/// Everything is looked at again when storage changes: it does rarely, and only pods with claims ask.
fn after_fact(change: &Change, kinds: &[FactKind]) -> Touched {
    match &change.kind {
        ChangeKind::Fact(key, _) if kinds.contains(&key.kind) => Touched::All,
        _ => Touched::None,
    }
}
