//! Certificate signing requests: the rules of `certificates.k8s.io/v1`.
//!
//! Follows `pkg/apis/certificates/validation` of upstream. Who asks and when a condition changed is filled in by the registry,
//! which knows; who may approve and sign is decided by admission.

use std::collections::BTreeSet;

use base64::Engine as _;
use orc_core::validation::{FieldErrors, FieldPath, names};
use serde_json::Value;

use super::rules::{Kind, keep};
use super::tree::*;
use crate::certificates::{Request, check_certificates};

const SPEC: FieldPath<'static> = FieldPath::new("spec");
const STATUS: FieldPath<'static> = FieldPath::new("status");

/// Conditions that are there or not, and never false.
const TRUE_ONLY: [&str; 3] = ["Approved", "Denied", "Failed"];

/// The rules of `certificatesigningrequests`.
pub(super) static CERTIFICATE: Kind = Kind {
    status: true,
    name: |_| Vec::new(),
    validate: |object, e| {
        certificate(get(object, "spec"), e);
        status(object, e);
    },
    prepare_update: |new, old| keep(new, old, "spec"),
    prepare_sub: |new, old, sub| {
        keep(new, old, "spec");
        match sub {
            "approval" => keep(ensure(new, "status"), get(old, "status"), "certificate"),
            _ => keep_decisions(new, old),
        }
    },
    validate_update: |new, old, e| change(new, old, "", e),
    validate_sub: |new, old, sub, e| change(new, old, sub, e),
    ..Kind::CLUSTER
};

/// Approvals and denials are not the signer's to change: its update keeps those that it names as they are.
fn keep_decisions(new: &mut Value, old: &Value) {
    for kind in ["Approved", "Denied"] {
        let Some(was) = conditions(old).iter().find(|c| text(c, "type") == kind).cloned() else { continue };
        let listed = items(ensure(new, "status"), "conditions").find(|c| text(c, "type") == kind);
        if let Some(condition) = listed {
            *condition = was;
        }
    }
}

fn conditions(object: &Value) -> &[Value] {
    list(get(object, "status"), "conditions")
}

fn change(new: &Value, old: &Value, sub: &str, e: &mut FieldErrors) {
    certificate(get(new, "spec"), e);
    status(new, e);
    let path = STATUS.child("conditions");
    let of = |object: &Value, kind: &str| -> Vec<Value> {
        conditions(object).iter().filter(|c| text(c, "type") == kind).cloned().collect()
    };
    for kind in TRUE_ONLY {
        if of(new, kind).len() < of(old, kind).len() {
            e.forbidden(&path, format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    if sub != "approval" {
        for kind in ["Approved", "Denied"] {
            let (now, was) = (of(new, kind), of(old, kind));
            if now.len() > was.len() {
                e.forbidden(&path, format!("updates may not add a condition of type {kind:?}"));
            } else if now.len() == was.len() && now != was {
                e.forbidden(&path, format!("updates may not modify a condition of type {kind:?}"));
            }
        }
    }
    let issued = |object: &Value| text(get(object, "status"), "certificate").to_owned();
    if issued(new) != issued(old) {
        let path = STATUS.child("certificate");
        if sub != "status" {
            e.forbidden(&path, "updates may not set certificate content");
        } else if !issued(old).is_empty() {
            e.forbidden(&path, "updates may not modify existing certificate content");
        }
    }
}

fn status(object: &Value, e: &mut FieldErrors) {
    let all = STATUS.child("conditions");
    let (mut seen, mut decided) = (BTreeSet::new(), None);
    for (i, condition) in conditions(object).iter().enumerate() {
        let at = all.index(i);
        let kind = text(condition, "type");
        if kind.is_empty() {
            e.required(&at.child("type"), "");
        }
        let allowed: &[&str] = if TRUE_ONLY.contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
        match text(condition, "status") {
            "" => e.required(&at.child("status"), ""),
            value => e.supported(&at.child("status"), value, allowed),
        }
        if matches!(kind, "Approved" | "Denied") && decided.replace(kind).is_some_and(|other| other != kind) {
            e.invalid(&at.child("type"), kind, "Approved and Denied conditions are mutually exclusive");
        }
        if !seen.insert(kind) {
            e.duplicate(&at.child("type"), kind);
        }
    }
    let issued = text(get(object, "status"), "certificate");
    if !issued.is_empty()
        && let Err(why) = check_certificates(&decoded(issued))
    {
        e.invalid(&STATUS.child("certificate"), "<certificate data>", why);
    }
}

fn decoded(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
}

fn certificate(spec: &Value, e: &mut FieldErrors) {
    if let Err(why) = Request::parse(&decoded(text(spec, "request"))) {
        let shown = if text(spec, "request").is_empty() { &Value::Null } else { get(spec, "request") };
        e.invalid(&SPEC.child("request"), shown, why.to_string());
    }
    let usages = texts(spec, "usages");
    let path = SPEC.child("usages");
    if usages.is_empty() {
        e.required(&path, "");
    }
    let mut seen = BTreeSet::new();
    for (i, usage) in usages.iter().enumerate() {
        e.supported(&path.index(i), usage, USAGES);
        if !seen.insert(*usage) {
            e.duplicate(&path.index(i), *usage);
        }
    }
    signer(text(spec, "signerName"), &SPEC.child("signerName"), e);
    if text(spec, "signerName") == "kubernetes.io/legacy-unknown" {
        let why = "the legacy signerName is not allowed via this API version";
        e.invalid(&SPEC.child("signerName"), text(spec, "signerName"), why);
    }
    if let Some(seconds) = int(spec, "expirationSeconds").filter(|s| *s < 600) {
        let text = "may not specify a duration less than 600 seconds (10 minutes)";
        e.invalid(&SPEC.child("expirationSeconds"), seconds, text);
    }
}

fn signer(name: &str, path: &FieldPath<'_>, e: &mut FieldErrors) {
    if name.is_empty() {
        return e.required(path, "");
    }
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, rest] = parts.as_slice() else {
        return e.invalid(
            path,
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    };
    for broken in names::dns1123_subdomain(domain) {
        e.invalid(path, *domain, format!("validating label {}: {broken}", orc_core::validation::go_quote(domain)));
    }
    if !domain.contains('.') {
        e.invalid(path, *domain, "should be a domain with at least two segments separated by dots");
    }
    for broken in names::dns1123_subdomain(rest) {
        e.invalid(path, *rest, format!("validating label {}: {broken}", orc_core::validation::go_quote(rest)));
    }
}

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
