//! What objects are.
//!
//! The ground floor of orc: everything here is data and pure functions, with no socket, task or clock of its own.
//!
//! | module | holds |
//! |---|---|
//! | [`object`] | the trait an object type implements, and re-exports of `kube_core` and `k8s_openapi` |
//! | [`key`] | names, storage resources, object keys, revisions |
//! | [`doc`] | [`Doc`], the object in flight between decoding and commit |
//! | [`head`] | [`Head`], what every loop wants to know of an object without decoding it |
//! | [`error`] | [`ApiError`], Kubernetes' `Status` as an error |
//! | [`mod@env`] | clock, ids, randomness and spawning: the only ways to reach outside |
//! | [`schema`] | the schema table that drives every codec |
//! | [`catalogue`] | the resources that are served |
//! | [`patch`], [`apply`] | JSON patch, merge patch, strategic merge patch; server-side apply |
//! | [`quota`] | what objects use of a ResourceQuota |
//! | `fuzzing` (feature) | decoders as functions of bytes, for fuzzers |
//! | [`labels`], [`node_selector`] | selectors of objects by labels and fields, of nodes |
//! | [`metrics`] | what operators measure, and the text that Prometheus reads |
//! | [`quantity`], [`validation`] | exact quantities, names and field errors |

pub mod apply;
pub mod catalogue;
pub mod doc;
pub mod env;
pub mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod head;
mod intern;
pub mod key;
pub mod labels;
pub mod metrics;
pub mod node_selector;
pub mod object;
pub mod parts;
pub mod patch;
pub mod quantity;
pub mod quota;
pub mod schema;
pub mod validation;

pub use doc::Doc;
pub use error::{ApiError, Reason};
pub use head::{Head, OwnerRef};
pub use key::{Name, ObjectKey, ResourceId, Revision};
pub use object::{Object, k8s_openapi, kube_core};
pub use parts::Parts;
