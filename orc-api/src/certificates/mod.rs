//! Certificate signing requests: what one asks for, and the certificates that the cluster's authority signs.
//!
//! Pure but for the random serial number; who approves is the business of admission and of the loops of
//! `orc_reconcile::controllers`. Certificates are put together here and not by a library, since subject and public key must
//! come out byte for byte as they were asked for.

mod client;
mod der;
mod issue;
mod request;

pub use client::client;
pub use issue::{Authority, AuthorityError};
pub use request::{Request, RequestError, check_certificates, ends};
