//! What a certificate signing request needs next: a pure decision.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest as Csr, CertificateSigningRequestCondition};

use super::CertificateAuthority;

const NODES: &str = "system:nodes";
const NODE: &str = "system:node:";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// A request that was decided stays for an hour, one that nobody looked at for a day.
const DECIDED: Duration = Duration::from_secs(3600);
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// What a request asks to be certified.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// The subject's common name.
    pub common_name: String,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// How many DNS names.
    pub dns: usize,
    /// How many addresses.
    pub addresses: usize,
    /// How many mail addresses.
    pub emails: usize,
    /// How many URIs.
    pub uris: usize,
}

/// Who made a request, as the API server noted it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Requester {
    /// The user.
    pub user: String,
    /// The user's uid.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Further facts.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The next step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Nothing, or nothing before a while has passed.
    Wait(Option<Duration>),
    /// Approve it, for this reason.
    Approve(&'static str),
    /// Sign it.
    Sign,
    /// It can never be signed, for this reason.
    Fail(String),
    /// It is old.
    Remove,
}

pub(super) fn plan(request: &Csr, authority: &dyn CertificateAuthority, now: Timestamp) -> Step {
    let status = request.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let issued = status.and_then(|status| status.certificate.as_ref()).filter(|bytes| !bytes.0.is_empty());
    let end = end(request, conditions, issued.map(|bytes| bytes.0.as_slice()), authority);
    if end.is_some_and(|end| end <= now) {
        return Step::Remove;
    }
    let wait = end.and_then(|end| end.duration_since(now).try_into().ok());
    if issued.is_some() || find("Denied").is_some() || find("Failed").is_some() {
        return Step::Wait(wait);
    }
    let Ok(asked) = authority.read(&request.spec.request.0) else { return Step::Wait(wait) };
    if find("Approved").is_none() {
        return approval(request, &asked, authority).map_or(Step::Wait(wait), Step::Approve);
    }
    match signable(request, &asked) {
        None => Step::Wait(wait),
        Some(Ok(())) => Step::Sign,
        Some(Err(why)) => Step::Fail(why),
    }
}

/// When the request is taken away.
fn end(
    request: &Csr,
    conditions: &[CertificateSigningRequestCondition],
    issued: Option<&[u8]>,
    authority: &dyn CertificateAuthority,
) -> Option<Timestamp> {
    let later = |at: Timestamp, by: Duration| at.checked_add(by).ok();
    let created = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if conditions.is_empty() {
        return later(created?, PENDING);
    }
    let counts = |c: &&CertificateSigningRequestCondition| match c.type_.as_str() {
        "Approved" => issued.is_some(),
        "Denied" | "Failed" => true,
        _ => false,
    };
    let decided = conditions.iter().filter(counts).filter_map(|c| c.last_update_time.as_ref().map(|time| time.0));
    let kept = decided.filter_map(|at| later(at, DECIDED)).min();
    let ends = issued.and_then(|bytes| authority.ends(bytes)).and_then(|second| Timestamp::from_second(second).ok());
    kept.into_iter().chain(ends).min()
}

/// Why a request may be approved without a human.
fn approval(request: &Csr, asked: &Asked, authority: &dyn CertificateAuthority) -> Option<&'static str> {
    let spec = &request.spec;
    if spec.signer_name != KUBELET_CLIENT || kubelet_client(asked, &usages(request)).is_err() {
        return None;
    }
    let who = Requester {
        user: spec.username.clone().unwrap_or_default(),
        uid: spec.uid.clone().unwrap_or_default(),
        groups: spec.groups.clone().unwrap_or_default(),
        extra: spec.extra.clone().unwrap_or_default(),
    };
    if who.user == asked.common_name && authority.permits(&who, "selfnodeclient") {
        return Some("Auto approving self kubelet client certificate after SubjectAccessReview.");
    }
    let permitted = authority.permits(&who, "nodeclient");
    permitted.then_some("Auto approving kubelet client certificate after SubjectAccessReview.")
}

fn usages(request: &Csr) -> Vec<&str> {
    let mut usages: Vec<&str> = request.spec.usages.iter().flatten().map(String::as_str).collect();
    usages.sort_unstable();
    usages.dedup();
    usages
}

/// Whether an approved request fits its signer; `None` for signers that are not ours.
fn signable(request: &Csr, asked: &Asked) -> Option<Result<(), String>> {
    let usages = usages(request);
    Some(match request.spec.signer_name.as_str() {
        KUBELET_CLIENT => kubelet_client(asked, &usages),
        KUBELET_SERVING => kubelet_serving(asked, &usages),
        CLIENT => client(&usages),
        LEGACY => Ok(()),
        _ => return None,
    })
}

fn wrong(why: &str) -> Result<(), String> {
    Err(why.to_owned())
}

fn kubelet_client(asked: &Asked, usages: &[&str]) -> Result<(), String> {
    if asked.organizations != [NODES] {
        return wrong("subject organization is not system:nodes");
    }
    for (count, why) in [
        (asked.dns, "DNS subjectAltNames are not allowed"),
        (asked.emails, "Email subjectAltNames are not allowed"),
        (asked.addresses, "IP subjectAltNames are not allowed"),
        (asked.uris, "URI subjectAltNames are not allowed"),
    ] {
        if count > 0 {
            return wrong(why);
        }
    }
    if !asked.common_name.starts_with(NODE) {
        return wrong("subject common name does not begin with system:node:");
    }
    exactly(usages, "client auth")
}

fn kubelet_serving(asked: &Asked, usages: &[&str]) -> Result<(), String> {
    if asked.organizations != [NODES] {
        return wrong("subject organization is not system:nodes");
    }
    if asked.dns + asked.addresses == 0 {
        return wrong("DNS or IP subjectAltName is required");
    }
    if asked.emails > 0 {
        return wrong("Email subjectAltNames are not allowed");
    }
    if asked.uris > 0 {
        return wrong("URI subjectAltNames are not allowed");
    }
    exactly(usages, "server auth")?;
    if asked.common_name.starts_with(NODE) {
        Ok(())
    } else {
        wrong("subject common name does not begin with system:node:")
    }
}

/// Digital signature, the purpose, and, for RSA, key encipherment.
fn exactly(usages: &[&str], purpose: &str) -> Result<(), String> {
    let mut all = ["digital signature", "key encipherment", purpose];
    all.sort_unstable();
    let mut without: Vec<&str> = all.to_vec();
    without.retain(|usage| *usage != "key encipherment");
    if usages == all || usages == without { Ok(()) } else { Err(format!("usages did not match [{}]", all.join(" "))) }
}

fn client(usages: &[&str]) -> Result<(), String> {
    let other = usages.iter().find(|u| !["digital signature", "key encipherment", "client auth"].contains(u));
    match other {
        Some(usage) => Err(format!("invalid usage for client certificate: {usage}")),
        None if usages.contains(&"client auth") => Ok(()),
        None => wrong("missing required usage for client certificate: client auth"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    struct Fake(bool);

    impl CertificateAuthority for Fake {
        fn read(&self, request: &[u8]) -> Result<Asked, String> {
            let common_name = String::from_utf8_lossy(request).into_owned();
            Ok(Asked { common_name, organizations: vec![NODES.to_owned()], ..Asked::default() })
        }
        fn sign(&self, _: &[u8], _: &[String], _: Option<i64>) -> Result<String, String> {
            Err("not asked".to_owned())
        }
        fn ends(&self, _: &[u8]) -> Option<i64> {
            Some(100_000)
        }
        fn permits(&self, who: &Requester, sub: &str) -> bool {
            self.0 && sub == "selfnodeclient" && who.user.starts_with(NODE)
        }
    }

    fn request(signer: &str, usages: &[&str], status: Value) -> Csr {
        serde_json::from_value(json!({"metadata": {"name": "r", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"request": k8s_openapi::ByteString(b"system:node:n1".to_vec()), "signerName": signer,
                "usages": usages, "username": "system:node:n1"},
            "status": status}))
        .unwrap()
    }

    fn step(request: &Csr, permits: bool, second: i64) -> Step {
        plan(request, &Fake(permits), Timestamp::from_second(second).unwrap())
    }

    const USAGES: [&str; 2] = ["client auth", "digital signature"];

    fn decided(kind: &str) -> Value {
        json!({"conditions": [{"type": kind, "status": "True", "lastUpdateTime": "1970-01-01T00:00:10Z"}]})
    }

    #[test]
    fn a_kubelet_is_approved_if_it_may_and_everybody_else_waits_for_a_human() {
        let kubelet = request(KUBELET_CLIENT, &USAGES, json!({}));
        assert!(matches!(step(&kubelet, true, 10), Step::Approve(_)));
        assert_eq!(step(&kubelet, false, 10), Step::Wait(Some(PENDING - Duration::from_secs(10))));
        let human = request(CLIENT, &USAGES, json!({}));
        assert!(matches!(step(&human, true, 10), Step::Wait(Some(_))));
    }

    #[test]
    fn what_is_approved_is_signed_by_its_own_signer() {
        let approved = |signer: &str, usages: &[&str]| request(signer, usages, decided("Approved"));
        assert_eq!(step(&approved(CLIENT, &USAGES), false, 20), Step::Sign);
        assert_eq!(step(&approved("acme.com/own", &USAGES), false, 20), Step::Wait(None));
        let wrong = step(&approved(CLIENT, &["server auth"]), false, 20);
        assert_eq!(wrong, Step::Fail("invalid usage for client certificate: server auth".to_owned()));
        let serving = step(&approved(KUBELET_SERVING, &["digital signature", "server auth"]), false, 20);
        assert_eq!(serving, Step::Fail("DNS or IP subjectAltName is required".to_owned()));
        assert!(matches!(step(&request(CLIENT, &USAGES, decided("Denied")), true, 20), Step::Wait(Some(_))));
    }

    #[test]
    fn old_requests_go() {
        let mut done = decided("Approved");
        done["certificate"] = json!(k8s_openapi::ByteString(b"x".to_vec()));
        assert_eq!(
            step(&request(CLIENT, &USAGES, done.clone()), true, 20),
            Step::Wait(Some(Duration::from_secs(3590)))
        );
        assert_eq!(step(&request(CLIENT, &USAGES, done), true, 3610), Step::Remove);
        assert_eq!(step(&request(CLIENT, &USAGES, json!({})), true, 24 * 3600), Step::Remove);
    }
}
