//! Our protobuf held against somebody else's: messages go through types that kube-rs generated from Kubernetes' `.proto` files.

mod messages;
mod names;
mod peers;
mod server;
