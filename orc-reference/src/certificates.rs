//! What the loop of certificate signing requests asks of the API: reading requests, the authority's key, and roles.

use std::sync::Arc;

use orc_api::certificates::{self, Authority, Request};
use orc_api::rbac::Attributes;
use orc_api::{Identity, Registry};
use orc_core::env::Clock;
use orc_reconcile::controllers::{Asked, CertificateAuthority, Requester};

/// The cluster's authority.
pub struct ClusterAuthority {
    /// Signs.
    pub authority: Arc<Authority>,
    /// Says who may ask for what.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Clock,
}

impl CertificateAuthority for ClusterAuthority {
    fn read(&self, request: &[u8]) -> Result<Asked, String> {
        let Request { common_name, organizations, dns, addresses, emails, uris, .. } =
            Request::parse(request).map_err(|error| error.to_string())?;
        let (dns, addresses, emails, uris) = (dns.len(), addresses.len(), emails.len(), uris.len());
        Ok(Asked { common_name, organizations, dns, addresses, emails, uris })
    }

    fn sign(&self, request: &[u8], usages: &[String], seconds: Option<i64>) -> Result<String, String> {
        let request = Request::parse(request).map_err(|error| error.to_string())?;
        self.authority.sign(&request, usages, seconds, self.clock.now()).map_err(|error| error.to_string())
    }

    fn ends(&self, certificate: &[u8]) -> Option<i64> {
        certificates::ends(certificate)
    }

    fn permits(&self, who: &Requester, sub: &str) -> bool {
        let Requester { user, uid, groups, extra } = who.clone();
        let who = Identity { user, uid, groups, extra };
        let asks = Attributes {
            verb: "create",
            group: "certificates.k8s.io",
            resource: "certificatesigningrequests",
            subresource: sub,
            ..Attributes::default()
        };
        self.registry.authorizer().permits(&who, &asks)
    }
}
