//! Built-in admission: what is checked against, and filled in from, other objects when one is created.

mod namespace;
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
    pub(super) async fn admit_create(&self, kind: &Kind, key: &ObjectKey, doc: &mut Doc, who: &Identity) -> Result<(), ApiError> {
        let _ = who;
        self.check_namespace(kind, key).await?;
        if key.resource.as_str() == "pods" {
            self.admit_service_account(key, doc).await?;
            tolerations::add_defaults(doc);
        }
        Ok(())
    }
}
