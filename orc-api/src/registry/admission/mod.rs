//! Built-in admission: what is checked against, and filled in from, other objects when one is created.

mod escalation;
mod marks;
mod namespace;
mod node_restriction;
mod priority;
mod runtime_class;
mod service_account;
mod tolerations;

use orc_core::{ApiError, Doc, ObjectKey};

use super::Registry;
use super::kind::Kind;
use crate::identity::Identity;

impl Registry {
    /// Admits a new object: its namespace must exist and not be going away; a pod gets its service account, the volume with
    /// its token, and the tolerations that let it survive a short outage of its node.
    ///
    /// # Errors
    /// 404 or 403, as kube-apiserver's plugins word them.
    pub(super) async fn admit_create(
        &self,
        kind: &Kind,
        key: &ObjectKey,
        doc: &mut Doc,
        who: &Identity,
    ) -> Result<(), ApiError> {
        self.check_namespace(kind, key).await?;
        self.admit_rbac(key, doc, None, who)?;
        match key.resource.as_str() {
            "pods" => {
                self.admit_service_account(key, doc).await?;
                tolerations::add_defaults(doc);
                self.admit_priority(key, doc).await?;
                self.admit_runtime_class(key, doc).await?;
            }
            "persistentvolumeclaims" => marks::protect(doc, "kubernetes.io/pvc-protection"),
            "persistentvolumes" => {
                marks::protect(doc, "kubernetes.io/pv-protection");
                let now = orc_store::local::rules::timestamp(self.system.clock.now());
                doc.set(&["status", "lastPhaseTransitionTime"], now);
            }
            "volumeattributesclasses.storage.k8s.io" => marks::protect(doc, "kubernetes.io/vac-protection"),
            "nodes" => marks::taint(doc),
            "certificatesigningrequests.certificates.k8s.io" => marks::requester(doc, who),
            _ => {}
        }
        Ok(())
    }

    /// Admits a change of an object itself: what a pod was given at its creation stays when the client leaves it out.
    ///
    /// # Errors
    /// 403 for a role that grants more than its writer holds.
    pub(super) fn admit_update(
        &self,
        key: &ObjectKey,
        sub: Option<&str>,
        doc: &mut Doc,
        old: &Doc,
        who: &Identity,
    ) -> Result<(), ApiError> {
        self.admit_rbac(key, doc, Some(old), who)?;
        node_restriction::check_update(who, key, sub, doc, old)?;
        if key.resource.as_str() == "pods" && sub.is_none() {
            tolerations::add_defaults(doc);
            priority::keep(doc, old);
        }
        Ok(())
    }
}
