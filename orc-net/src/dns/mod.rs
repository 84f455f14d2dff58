//! Cluster DNS: names of Services and pods, and the way to all others.
//!
//! | module | holds |
//! |---|---|
//! | [`zone`] | [`Zone`], what the cluster's zone is called and where it is served |
//! | [`view`] | [`View`], the objects that answers are made of, and the caches as one |
//! | [`lookup`] | [`lookup()`](lookup::lookup), a pure function: view and question in, records out |
//! | [`message`] | questions read from bytes, answers written to them, size and truncation |
//! | [`host`] | the host's `resolv.conf` and `hosts`, read again when they change |
//! | [`forward`] | questions about other names, passed to the host's resolvers |
//! | [`server`] | the UDP and TCP sockets |
//!
//! The rules are those of the DNS-based service discovery specification of Kubernetes, version 1.1.0
//! (<https://github.com/kubernetes/dns/blob/master/docs/specification.md>). There is no cache of answers: records come from
//! memory, and resolvers have caches of their own. Not here: zones from files, DNSSEC, zone transfer, IPv6 addresses of Services.

pub mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod host;
pub mod lookup;
pub mod message;
mod records;
mod resolve;
pub mod server;
#[cfg(test)]
mod tests;
pub mod view;
pub mod zone;

pub use forward::Reach;
pub use server::{DnsConfig, DnsCounts, DnsError, DnsServer};
pub use view::{CacheView, View};
pub use zone::Zone;
