//! The API over HTTP, as a `tower::Service`.
//!
//! Order of a request: resolve, authenticate, impersonate, wait for a turn, authorize, handle. Admission is inside the registry's write loop.

mod audit;
mod auth;
mod body;
mod checks;
mod collection;
mod compress;
mod connect;
mod connect_options;
mod conversion;
mod delegate;
mod discovery;
mod encode;
mod etag;
mod extra;
mod fairness;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod health;
mod impersonate;
mod list_body;
mod logs;
mod made;
mod measure;
mod negotiate;
mod object;
mod older;
mod options;
mod pretty;
mod proxy;
mod query;
mod renditions;
mod request;
mod respond;
mod reviews;
mod service;
mod watch;

/// What is escaped in a part of a path or a query: all but RFC 3986's unreserved characters.
pub(crate) const RESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub use checks::{Check, Checks, Matters};
pub use extra::{Extra, Extras};
pub use orc_store::dialer::{Body, BoxError};
pub(crate) use proxy::{AnyCertificate, exchange};
pub(crate) use query::Query;
pub use request::{RequestInfo, Resolved};
pub(crate) use respond::{failed, nothing_to_send, shown, text as plain};
pub(crate) use reviews::user_info;
pub use service::{ApiConfig, ApiService};
