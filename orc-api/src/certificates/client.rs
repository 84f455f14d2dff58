//! Client certificates of our own making, with all groups of a user in the subject.
//!
//! rcgen keeps one entry of each type in a name, so the second organization would replace the first.

use rcgen::{KeyPair, PublicKeyData as _};

use super::der::{self, oid, sequence, tagged};
use super::issue::{Authority, AuthorityError};
use super::request::Request;
use crate::pki::Pair;

/// A `SET`, and a `UTF8String` (X.690, 8.12 and 8.23).
const SET: u8 = 0x31;
const UTF8: u8 = 0x0c;

/// Signs a certificate of a year for a user with groups, with a fresh key.
///
/// # Errors
/// When the authority cannot be used, or signing fails.
pub fn client(ca: &Pair, user: &str, groups: &[&str], now: jiff::Timestamp) -> Result<Pair, AuthorityError> {
    let key = KeyPair::generate().map_err(|error| AuthorityError::Signing(error.to_string()))?;
    let request = Request {
        common_name: user.to_owned(),
        organizations: groups.iter().map(ToString::to_string).collect(),
        dns: Vec::new(),
        addresses: Vec::new(),
        emails: Vec::new(),
        uris: Vec::new(),
        subject: subject(user, groups),
        public_key: key.subject_public_key_info(),
    };
    let usages = ["digital signature", "key encipherment", "client auth"].map(str::to_owned);
    let certificate = Authority::new(ca)?.sign(&request, &usages, None, now)?;
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// Organizations first, then the common name, each in a set of its own, as Go's `pkix.Name` writes them.
fn subject(user: &str, groups: &[&str]) -> Vec<u8> {
    let entry = |id: u64, text: &str| {
        let pair = sequence(&[&oid(&[2, 5, 4, id]), &tagged(UTF8, text.as_bytes())]);
        tagged(SET, &pair)
    };
    let mut names: Vec<u8> = groups.iter().flat_map(|group| entry(10, group)).collect();
    names.extend(entry(3, user));
    tagged(der::SEQUENCE, &names)
}

#[cfg(test)]
mod tests {
    use orc_core::env::Clock;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;
    use crate::pki::{Leaf, make_ca, sign};

    #[test]
    fn all_groups_stand_in_the_subject() {
        let clock = Clock::wall();
        let ca = make_ca("ca", &clock).unwrap();
        let leaf = Leaf::Client { user: "alice", groups: &["one", "two", "system:masters"] };
        let pair = sign(&ca, &leaf, &clock).unwrap();
        let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let who = crate::identity::from_certificate(&certificate).unwrap();
        assert_eq!(who.user, "alice");
        for group in ["one", "two", "system:masters"] {
            assert!(who.is_in(group), "{:?}", who.groups);
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let authority = CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap();
        let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
        assert!(parsed.verify_signature(Some(authority.public_key())).is_ok());
        let key = KeyPair::from_pem(&pair.key).unwrap();
        assert_eq!(key.subject_public_key_info(), parsed.public_key().raw);
    }
}
