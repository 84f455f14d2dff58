//! Who may approve and sign certificates (CertificateApproval, CertificateSigning, CertificateSubjectRestriction), and when a
//! condition of a request changed.

use base64::Engine as _;
use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use crate::certificates::Request;
use crate::identity::{Identity, MASTERS};
use crate::kinds::tree::{get, list, same, text};
use crate::rbac::Attributes;
use crate::registry::Registry;

pub(super) const RESOURCE: &str = "certificatesigningrequests.certificates.k8s.io";
const GROUP: &str = "certificates.k8s.io";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

fn refuse(key: &ObjectKey, why: impl std::fmt::Display) -> ApiError {
    ApiError::forbidden(GROUP, "certificatesigningrequests", &key.name, why)
}

/// Nobody asks for a certificate of the superusers.
///
/// # Errors
/// 403 for a client certificate whose organizations name their group.
pub(super) fn restrict_subject(key: &ObjectKey, request: &Doc) -> Result<(), ApiError> {
    if request.str_at(&["spec", "signerName"]) != Some(CLIENT) {
        return Ok(());
    }
    let text = request.str_at(&["spec", "request"]).unwrap_or_default();
    let pem = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    // One that does not read is told by validation.
    let Ok(parsed) = Request::parse(&pem) else { return Ok(()) };
    if parsed.organizations.iter().any(|group| group == MASTERS) {
        return Err(refuse(key, format!("use of {CLIENT} signer with {MASTERS} group is not allowed")));
    }
    Ok(())
}

impl Registry {
    /// Checks a change of a request's approval or status, and notes when conditions changed.
    ///
    /// # Errors
    /// 403 for who may not approve or sign for the request's signer.
    pub(super) fn admit_certificate(
        &self,
        key: &ObjectKey,
        sub: Option<&str>,
        new: &mut Doc,
        old: &Doc,
        who: &Identity,
    ) -> Result<(), ApiError> {
        let (verb, what) = match sub {
            Some("approval") => ("approve", "approve"),
            Some("status") => ("sign", "sign"),
            _ => return Ok(()),
        };
        let status = |doc: &Doc, field: &str| get(get(doc.value(), "status"), field).clone();
        let unchanged = |field: &str| same(&status(new, field), &status(old, field));
        if verb == "sign" && unchanged("certificate") && unchanged("conditions") {
            return Ok(());
        }
        self.date_conditions(new, old);
        // The request as it was: the client may have named another signer in its update.
        let signer = old.str_at(&["spec", "signerName"]).unwrap_or_default();
        if self.may(who, verb, signer) {
            return Ok(());
        }
        Err(refuse(key, format!("user not permitted to {what} requests with signerName {signer:?}")))
    }

    /// A permission on a signer, or on all signers of its domain.
    fn may(&self, who: &Identity, verb: &str, signer: &str) -> bool {
        let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
        [signer.to_owned(), format!("{domain}/*")].iter().any(|name| {
            let asks = Attributes { verb, group: GROUP, resource: "signers", name, ..Attributes::default() };
            self.authorizer.permits(who, &asks)
        })
    }

    fn date_conditions(&self, new: &mut Doc, old: &Doc) {
        let now = timestamp(self.system.clock.now());
        let was = list(get(old.value(), "status"), "conditions").to_vec();
        let conditions = new.value_mut().pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten().filter_map(Value::as_object_mut) {
            let missing = |condition: &serde_json::Map<String, Value>, field: &str| {
                condition.get(field).is_none_or(|value| value.is_null() || value == "")
            };
            if missing(condition, "lastUpdateTime") {
                condition.insert("lastUpdateTime".to_owned(), json!(now));
            }
            if missing(condition, "lastTransitionTime") {
                let here = Value::Object(condition.clone());
                let same =
                    |c: &&Value| text(c, "type") == text(&here, "type") && text(c, "status") == text(&here, "status");
                let then = was.iter().find(same).map(|c| text(c, "lastTransitionTime")).filter(|t| !t.is_empty());
                condition.insert("lastTransitionTime".to_owned(), json!(then.unwrap_or(&now)));
            }
        }
    }
}
