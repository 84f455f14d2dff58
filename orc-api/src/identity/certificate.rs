//! Client certificates: the common name is the user, the organizations are the groups.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AUTHENTICATED, Identity};

/// The identity of a certificate that the TLS layer verified; `None` when it names nobody.
pub fn from_certificate(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    if user.is_empty() {
        return None;
    }
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    groups.push(AUTHENTICATED.to_owned());
    Some(Identity { user, groups, ..Identity::default() })
}
