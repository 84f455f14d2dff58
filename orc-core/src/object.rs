//! What an object type is, and the one place where `kube_core` and `k8s_openapi` are re-exported.
//!
//! An object is anything that implements [`kube_core::Resource`] with serde: every built-in kind, every
//! `#[derive(CustomResource)]` type and `kube_core::DynamicObject`. There is nothing else to implement.
//! A new major version of either crate is a new major version of ours.

use std::fmt::Debug;

pub use k8s_openapi;
pub use kube_core;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A Kubernetes object type. Implemented for every type that qualifies.
pub trait Object: kube_core::Resource + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}

impl<K> Object for K where K: kube_core::Resource + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}
