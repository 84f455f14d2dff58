//! Certificate signing requests: kubelets' requests are approved, approved ones are signed, old ones are taken away.
//!
//! Follow `pkg/controller/certificates` of upstream. What needs cryptography and roles is asked of a [`CertificateAuthority`].

mod plan;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest as Csr;
use orc_core::{ApiError, Doc, ObjectKey};
use orc_store::cache::Typed;
use orc_store::client::{DeleteOptions, Intent, Outcome, Preconditions, Subresource, Target, WriteRequest};
use orc_store::{Api, Env};
use serde_json::{Value, json};

use super::support::{Memory, PassError, filled};
use crate::{CacheSource, Controller, Next, Reconciler, service};
use plan::Step;
pub use plan::{Asked, Requester};

/// Reads requests and signs certificates.
pub trait CertificateAuthority: Send + Sync + 'static {
    /// What a request (PEM of PKCS #10) asks for.
    ///
    /// # Errors
    /// Why it does not read.
    fn read(&self, request: &[u8]) -> Result<Asked, String>;

    /// The certificate for a request, PEM. `usages` and `seconds` are the request object's.
    ///
    /// # Errors
    /// Why it is not signed.
    fn sign(&self, request: &[u8], usages: &[String], seconds: Option<i64>) -> Result<String, String>;

    /// When a certificate (PEM) ends, in seconds since 1970; `None` when it does not read.
    fn ends(&self, certificate: &[u8]) -> Option<i64>;

    /// Whether a requester may create `certificatesigningrequests/<sub>`, which is what lets kubelets' requests be approved
    /// without a human.
    fn permits(&self, who: &Requester, sub: &str) -> bool;
}

/// How long a request that cannot be signed waits before the next try.
const AGAIN: Duration = Duration::from_secs(30);

/// The loop that approves, signs and takes away certificate signing requests.
pub fn certificate_signing(env: Env, authority: Arc<dyn CertificateAuthority>) -> Controller<ObjectKey> {
    let requests = env.caches.typed::<Csr>();
    let cache = requests.cache().clone();
    let reconciler = Signing { env: env.clone(), requests, authority, memory: Memory::default() };
    Controller::new("certificate-controller", &env, service(reconciler)).concurrency(2).source(CacheSource::keys(cache))
}

struct Signing {
    env: Env,
    requests: Typed<Csr>,
    authority: Arc<dyn CertificateAuthority>,
    memory: Memory,
}

#[async_trait]
impl Reconciler for Signing {
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.requests.cache()]).await;
        self.memory.settle(&key).await?;
        let Some(request) = self.requests.get(&key) else {
            self.memory.forget(&key);
            return Ok(Next::Done);
        };
        let now = self.env.clock.now();
        match plan::plan(&request, self.authority.as_ref(), now) {
            Step::Wait(Some(wait)) => Ok(Next::After(wait)),
            Step::Wait(None) => Ok(Next::Done),
            Step::Approve(why) => {
                let condition = json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": why});
                self.decide(&key, &request, "approval", condition).await
            }
            Step::Fail(why) => {
                let condition =
                    json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why});
                self.decide(&key, &request, "status", condition).await
            }
            Step::Sign => self.sign(&key, &request).await,
            Step::Remove => {
                let uid = request.metadata.uid.clone();
                let preconditions = Preconditions { uid, revision: None };
                let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
                match self.api().delete(&key.name, options).await {
                    Err(error) if !error.is_not_found() => Err(error.into()),
                    _ => Ok(Next::Done),
                }
            }
        }
    }
}

impl Signing {
    fn api(&self) -> Api<Csr> {
        Api::all(self.env.client.clone())
    }

    /// Adds a condition by way of a sub-resource.
    async fn decide(
        &self,
        key: &ObjectKey,
        request: &Csr,
        sub: &'static str,
        condition: Value,
    ) -> Result<Next, PassError> {
        let mut doc = Doc::from_value(serde_json::to_value(request).map_err(ApiError::internal)?)?;
        let mut conditions = doc.at(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.push(condition);
        doc.set(&["status", "conditions"], conditions);
        self.write(key, doc, sub).await
    }

    async fn sign(&self, key: &ObjectKey, request: &Csr) -> Result<Next, PassError> {
        let spec = &request.spec;
        let usages = spec.usages.clone().unwrap_or_default();
        match self.authority.sign(&spec.request.0, &usages, spec.expiration_seconds.map(i64::from)) {
            Ok(certificate) => {
                let mut next = request.clone();
                next.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
                let doc = Doc::from_value(serde_json::to_value(&next).map_err(ApiError::internal)?)?;
                self.write(key, doc, "status").await
            }
            Err(why) => {
                tracing::warn!(request = %key.name, why, "a certificate was not signed");
                Ok(Next::After(AGAIN))
            }
        }
    }

    /// An update of the revision that was read: who decided meanwhile wins.
    async fn write(&self, key: &ObjectKey, doc: Doc, sub: &'static str) -> Result<Next, PassError> {
        let target = Target::Named(key.clone(), Some(Subresource(sub.into())));
        let written = self.env.client.write(WriteRequest::new(target, Intent::Replace(doc))).await?;
        if let Outcome::Persisted(stored) = written.outcome {
            self.memory.wrote(key, self.requests.cache(), Some(&stored.revision.to_string()));
        }
        Ok(Next::Done)
    }
}
