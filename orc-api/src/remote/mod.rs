//! Speaking to an API server over TLS, as a kubeconfig says.

mod channel;
mod client;
mod connection;
mod events;
mod kubeconfig;
mod wire;

pub use client::RemoteClient;
pub use connection::{Connection, RemoteError};
pub use kubeconfig::Kubeconfig;
