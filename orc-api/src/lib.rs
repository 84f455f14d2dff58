//! Kubernetes API machinery: the registry, the HTTP service over it, identities, roles and certificates.
//!
//! | module | holds |
//! |---|---|
//! | [`registry`] | the rules of Kubernetes over a store: the write loop and its handles |
//! | [`kinds`] | defaulting and validation, kind by kind |
//! | [`http`] | the API as a `tower::Service` |
//! | [`serve`] | the TLS listener that feeds it |
//! | [`identity`], [`rbac`], [`pki`] | who asks, what they may do, and the certificates that prove it |
//! | [`discovery`], [`openapi`], [`table`] | documents made from the catalogue and the schema table |
//! | [`convert`] | between the versions of kinds that share storage |
//! | [`remote`] | speaking to an API server over TLS |
//! | [`custom`], [`cel`] | schemas and rules of custom resources; the expression language of rules and policies |
//! | [`metrics`] | what the server measures, and the page `/metrics` |
//! | [`expiry`] | events are kept for an hour |
//! | [`fairness`] | who is served when more is asked than can be done at once |
//! | `fuzzing` (feature) | decoders as functions of bytes, for fuzzers |
//! | `testing` (feature) | a whole API server inside a test |
//! | [`bootstrap`] | the objects that every cluster starts with |

pub mod admission;
pub mod aggregation;
pub mod audit;
pub mod bootstrap;
pub mod cel;
pub mod certificates;
pub mod convert;
pub mod custom;
pub mod discovery;
pub mod expiry;
pub mod fairness;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
pub mod identity;
pub mod kinds;
pub mod metrics;
pub mod openapi;
pub mod pki;
pub mod rbac;
pub mod registry;
pub mod remote;
pub mod serve;
pub mod table;
#[cfg(feature = "testing")]
pub mod testing;

pub use http::{ApiConfig, ApiService};
pub use identity::Identity;
pub use registry::{OwnKind, Registry, RegistryClient, RegistryOptions};
