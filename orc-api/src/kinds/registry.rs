//! Which rules belong to which storage resource.

use super::Strategy;
use super::rules::{Generation, Kind};

/// The rules of a storage resource, as `pods` or `deployments.apps`. Resources that are not built in get the storage
/// semantics of a plain namespaced kind; ask [`known`] where that matters.
pub fn strategy(resource_id: &str) -> &'static dyn Strategy {
    find(resource_id).unwrap_or(&PLAIN)
}

/// Whether a storage resource is one of the built-in ones.
pub fn known(resource_id: &str) -> bool {
    find(resource_id).is_some()
}

static PLAIN: Kind = Kind::NAMESPACED;
static CLUSTER_SPEC: Kind = Kind::CLUSTER.with_generation(Generation::Spec);

fn find(resource_id: &str) -> Option<&'static dyn Strategy> {
    Some(match resource_id {
        "configmaps" => &PLAIN,
        "storageclasses.storage.k8s.io" => &CLUSTER_SPEC,
        _ => return None,
    })
}
