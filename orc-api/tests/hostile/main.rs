//! What a hostile or broken client may send, over a real TLS socket: each gets an answer where one is possible, and harms
//! nobody but itself.

mod bodies;
mod bombs;
mod decoders;
mod http;
mod http2;
mod slow;
mod support;
