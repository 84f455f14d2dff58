//! The built-in Kubernetes control loops.

mod deployment;
mod garbage;
mod namespace;
mod per_namespace;
mod replicaset;
mod support;

use std::sync::Arc;

use orc_core::catalogue::Catalogue;

pub use deployment::deployment;
pub use garbage::garbage_collector;
pub use namespace::namespace;
pub use per_namespace::{root_ca, service_account};
pub use replicaset::replicaset;

/// Gives the resources that are served now: built-in ones and those defined meanwhile.
pub type Kinds = Arc<dyn Fn() -> Arc<Catalogue> + Send + Sync>;
