//! What feeds and watches must tell, given the true log.
//!
//! Pure validators over recorded streams. The guarantees are those that etcd and Kubernetes name for watches: filtered,
//! ordered, unique, atomic (what shares a revision comes together), bookmarkable, resumable, reliable, with the right state
//! before each change and the right word for it.

mod feed;
mod store;
#[cfg(test)]
mod tests;
mod truth;

pub use self::feed::check_feed;
pub use self::store::{Watched, check_watch};
pub use self::truth::{Transition, Truth};
