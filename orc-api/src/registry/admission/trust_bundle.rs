//! Who may publish trust bundles for a signer (ClusterTrustBundleAttest).

use orc_core::ApiError;
use serde_json::Value;

use super::super::Registry;
use crate::admission::{Attributes, Operation};
use crate::rbac;

impl Registry {
    /// A bundle of a signer is written by those who hold `attest` on the signer, by its name or by `domain/*`.
    ///
    /// # Errors
    /// 403
    pub(super) fn check_attest(&self, ask: &Attributes<'_>) -> Result<(), ApiError> {
        let written = matches!(ask.operation, Operation::Create | Operation::Update);
        if ask.resource() != "clustertrustbundles.certificates.k8s.io" || !written || ask.who.user.is_empty() {
            return Ok(());
        }
        let signer = ask.new_value().pointer("/spec/signerName").and_then(Value::as_str).unwrap_or_default();
        let unchanged = ask.old.is_some() && ask.new_value()["spec"] == ask.old_value()["spec"];
        if signer.is_empty() || unchanged {
            return Ok(());
        }
        let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
        let held = [signer, &domain].iter().any(|name| {
            let group = "certificates.k8s.io";
            let asks =
                rbac::Attributes { verb: "attest", group, resource: "signers", name, ..rbac::Attributes::default() };
            self.authorizer.permits(ask.who, &asks)
        });
        if held { Ok(()) } else { Err(ask.forbid(format!("user not permitted to attest for signerName {signer:?}"))) }
    }
}
