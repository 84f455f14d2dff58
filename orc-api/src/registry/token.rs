//! `serviceaccounts/token`: signs a token bound to an account and, if asked, to a pod.

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::Stored;
use orc_store::client::{Freshness, Outcome, WriteOptions, Written};
use orc_store::local::rules::timestamp;
use serde_json::{Value, json};

use super::Registry;
use super::admission::{self, Charges};
use crate::identity::Identity;
use crate::identity::service_account::{Bound, Claims, Ref};

/// The shortest and the default life of a token in seconds, as upstream has them.
const SHORTEST: i64 = 600;
const DEFAULT: i64 = 3600;
/// The longest, 2^32 seconds, as upstream's validation.
const LONGEST: i64 = 1 << 32;

impl Registry {
    /// Answers a TokenRequest.
    ///
    /// # Errors
    /// 404 for an account or a bound object that is not there, 422 for a life that is too short.
    pub(super) async fn token(
        &self,
        key: &ObjectKey,
        request: Doc,
        options: &WriteOptions,
        who: &Identity,
    ) -> Result<Written, ApiError> {
        let kind = self.kind(&key.resource)?;
        let (account, _) = self.current(&kind, key).await?;
        let of = ("authentication.k8s.io", "v1", "TokenRequest");
        let mut ask = admission::foreign(&kind, key, "token", of, who, options);
        ask.object = Some(request);
        self.mutate(&kind, &mut ask).await?;
        self.validate(&mut ask, &mut Charges::default()).await?;
        let mut request = ask.object.take().unwrap_or_default();
        let warnings = std::mem::take(&mut ask.warnings);
        let seconds = request.at(&["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(DEFAULT);
        check_life(key, seconds)?;
        let audiences = request.at(&["spec", "audiences"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut aud: Vec<String> = audiences.iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
        if aud.is_empty() {
            aud.push(self.signer.issuer().to_owned());
        }
        let BoundTo { pod, secret, node } = self.bound_to(key, &request).await?;
        let now = self.system.clock.now();
        let account = Ref { name: key.name.to_string(), uid: account.head.uid.to_string() };
        let namespace = key.namespace_str().to_owned();
        let uid = account.uid.clone();
        let claims = Claims {
            aud: aud.clone(),
            exp: now.as_second() + seconds,
            iat: now.as_second(),
            iss: self.signer.issuer().to_owned(),
            jti: self.system.ids.uid(),
            nbf: now.as_second(),
            sub: format!("system:serviceaccount:{namespace}:{}", key.name),
            bound: Bound { namespace, node, pod, secret, serviceaccount: account },
        };
        let expires =
            now.checked_add(std::time::Duration::from_secs(seconds.unsigned_abs())).map_err(ApiError::internal)?;
        request.set(&["apiVersion"], "authentication.k8s.io/v1");
        request.set(&["kind"], "TokenRequest");
        request.set(&["metadata", "name"], key.name.as_str());
        request.set(&["metadata", "namespace"], key.namespace_str());
        request.set(&["metadata", "uid"], uid);
        if request.at(&["spec", "boundObjectRef"]).is_none() {
            request.set(&["spec", "boundObjectRef"], Value::Null);
        }
        request.set(&["metadata", "creationTimestamp"], timestamp(now));
        request.set(&["spec", "audiences"], aud);
        request.set(&["spec", "expirationSeconds"], seconds);
        request
            .set(&["status"], json!({"token": self.signer.sign(&claims)?, "expirationTimestamp": timestamp(expires)}));
        Ok(Written { outcome: Outcome::Unsaved(request), code: 201, warnings })
    }

    /// The pod, secret or node that a token lives and dies with; a pod's node is told with it.
    async fn bound_to(&self, key: &ObjectKey, request: &Doc) -> Result<BoundTo, ApiError> {
        let mut bound = BoundTo::default();
        let Some(to) = request.at(&["spec", "boundObjectRef"]).filter(|to| !to.is_null()) else { return Ok(bound) };
        let text = |name: &str| to.get(name).and_then(Value::as_str).unwrap_or_default();
        let plural = match (text("apiVersion"), text("kind")) {
            ("v1", "Pod") => "pods",
            ("v1", "Secret") => "secrets",
            ("v1", "Node") => "nodes",
            (api_version, kind) => {
                let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
                let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
                return Err(ApiError::bad_request(why));
            }
        };
        let namespace = key.namespace.clone().filter(|_| plural != "nodes");
        let place = ObjectKey { resource: ResourceId::new("", plural), namespace, name: text("name").into() };
        let stored = self.store.get(&place, Freshness::Latest).await?;
        let stored = stored.ok_or_else(|| ApiError::not_found("", plural, text("name")))?;
        if !text("uid").is_empty() && *stored.head.uid != *text("uid") {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                text("uid")
            );
            return Err(ApiError::conflict("", text("kind"), text("name"), why));
        }
        let found = Some(Ref { name: text("name").to_owned(), uid: stored.head.uid.to_string() });
        match plural {
            "secrets" => bound.secret = found,
            "nodes" => bound.node = found,
            _ => {
                self.runs_as(key, &stored)?;
                bound.pod = found;
                let node = stored.head.field("spec.nodeName");
                bound.node = if node.is_empty() { None } else { self.node_ref(node).await? };
            }
        }
        Ok(bound)
    }

    /// A token of an account is bound only to pods that run as it.
    fn runs_as(&self, key: &ObjectKey, pod: &Stored) -> Result<(), ApiError> {
        let pod = pod.to_doc()?;
        let account = pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default();
        if account == key.name.as_str() {
            return Ok(());
        }
        let why = "cannot bind token for serviceaccount";
        let name = key.name.as_str();
        Err(ApiError::bad_request(format!("{why} {name:?} to pod running with different serviceaccount name.")))
    }

    async fn node_ref(&self, node: &str) -> Result<Option<Ref>, ApiError> {
        let key = ObjectKey::cluster(ResourceId::new("", "nodes"), node);
        let stored = self.store.find(&key).await?;
        Ok(stored.map(|stored| Ref { name: node.to_owned(), uid: stored.head.uid.to_string() }))
    }
}

/// What a token is bound to.
#[derive(Default)]
struct BoundTo {
    pod: Option<Ref>,
    secret: Option<Ref>,
    node: Option<Ref>,
}

fn check_life(key: &ObjectKey, seconds: i64) -> Result<(), ApiError> {
    let why = match seconds {
        ..SHORTEST => "may not specify a duration less than 10 minutes",
        LONGEST.. => "may not specify a duration larger than 2^32 seconds",
        _ => return Ok(()),
    };
    let spec = orc_core::validation::FieldPath::new("spec");
    let path = spec.child("expirationSeconds");
    let error = orc_core::validation::FieldError::invalid(&path, json!(seconds), why);
    Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", &key.name, &[error]))
}
