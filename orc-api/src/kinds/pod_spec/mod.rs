//! The pod specification: shared by pods and by the templates of every workload kind.

mod affinity;
mod container;
mod default;
mod env;
pub mod labels;
mod probe;
pub mod resources;
mod security;
mod validate;
mod volume;

pub use affinity::node_selector;
pub use affinity::node_selector_term;
pub(super) use default::storage_source as storage_defaults;
pub use default::{default, default_for_pod, volume_claim};
pub use validate::{Scope, template, toleration_list, validate};
pub use volume::local_path;
pub(super) use volume::{driver, no_back_steps, storage};
