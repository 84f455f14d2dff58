//! Speaking to an API server over TLS, as a kubeconfig says.

mod connection;
mod kubeconfig;

pub use connection::{Connection, RemoteError};
pub use kubeconfig::Kubeconfig;
