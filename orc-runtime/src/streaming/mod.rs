//! The protocols of `kubectl exec`, `attach` and `port-forward`, on the side that serves them.
//!
//! The API passes the bytes of such a connection through; the node agent ends the protocol, as a kubelet does. So there is one
//! implementation for a node in the same process and for one behind a listener of its own.
//!
//! | module | holds |
//! |---|---|
//! | `negotiate` | which protocol a request asks for, and the answer with status 101 |
//! | `spdy` | SPDY/3.1: frames, compressed headers |
//! | `websocket` | channels in WebSocket messages |
//! | `transport` | bytes from and to a client, plain or inside WebSocket messages |
//! | `wire` | the five streams of a remote command, over either protocol |
//! | `remote` | exec and attach |
//! | `forward` | port-forward |
//!
//! Everything received is bounded: frames and headers by their decoders, streams by number, what waits by short queues. A
//! client that does not read stops its own program, not the node.

mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod negotiate;
mod remote;
mod spdy;
mod transport;
mod watchdog;
mod websocket;
mod wire;

pub(crate) use forward::{Target, forward};
pub(crate) use negotiate::{Protocol, Purpose, negotiate};
pub(crate) use remote::{Work, remote};

#[cfg(test)]
mod tests;
