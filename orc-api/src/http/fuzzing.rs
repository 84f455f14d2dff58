//! What reads requests, as functions of bytes.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Uri};
use orc_core::Revision;
use orc_core::fuzzing::{Target, choice, halves, text};
use orc_store::client::Continue;

use super::query::{Query, decode_continue, encode_continue};
use super::{body, compress, negotiate, options, request::RequestInfo};

const MEDIA: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "", "text/plain"];

fn core_seeds(name: &str) -> Vec<Vec<u8>> {
    let found: Option<&Target> = orc_core::fuzzing::TARGETS.iter().find(|target| target.name == name);
    found.map(|target| (target.seeds)()).unwrap_or_default()
}

/// Bodies of each media type; the first byte says which.
pub(crate) fn bodies() -> Vec<Vec<u8>> {
    let of = |media: u8, bodies: Vec<Vec<u8>>| bodies.into_iter().map(move |body| [&[media][..], &body].concat());
    let yaml = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: |\n    x\n  n: '1'\n",
        "a: &x [1, 0x1F, .nan, ~]\nb: *x\n<<: {c: !!str 1}\n",
    ];
    let yaml = yaml.iter().map(|text| text.as_bytes().to_vec()).collect();
    of(0, core_seeds("json_doc")).chain(of(1, yaml)).chain(of(2, core_seeds("proto_envelope"))).collect()
}

/// What is taken can be stored: its body reads again.
pub(crate) fn body(bytes: &[u8]) {
    let (at, sent) = choice(bytes);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(MEDIA[at % MEDIA.len()]))]);
    let _ = body::duplicates(sent);
    let Ok(decoded) = body::decode(&headers, sent, None) else { return };
    let stored = decoded.doc.to_body();
    assert!(orc_core::Doc::from_body(&stored).is_ok(), "what is taken can be read from the store");
}

pub(crate) fn lines() -> Vec<Vec<u8>> {
    [
        "GET /api/v1/namespaces/d/pods?watch=1&labelSelector=a%3Db&timeoutSeconds=5&resourceVersion=0",
        "GET /apis/apps/v1/deployments?limit=5&continue=NzpwL2Q&resourceVersionMatch=Exact&sendInitialEvents=true",
        "PATCH /apis/apps/v1/namespaces/d/deployments/a/scale?fieldManager=m&force=true&dryRun=All&fieldValidation=Strict",
        "POST /api/v1/namespaces/d/pods/p/exec?command=a&command=b+c&stdin=1",
        "GET /api/v1/namespaces/d/services/https:s:8443/proxy/a/%2e%2e/b?x=%zz",
        "DELETE /api/v1/watch/namespaces/%ff?fieldSelector=metadata.name!=a%2Cb%3D%5C%2C",
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}

/// A request's first line: which resource, and the options. `Uri` has checked what hyper hands on.
pub(crate) fn line(bytes: &[u8]) {
    let Some((method, target)) = text(bytes).split_once(' ') else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>()) else { return };
    let query = Query::parse(uri.query());
    for watch in [query.flag("watch"), true] {
        let info = RequestInfo::resolve(&method, uri.path(), watch);
        if let RequestInfo::Resource(found) = &info {
            assert!(!found.verb.is_empty());
        }
        let _ = info.attributes();
    }
    let _ = (query.list(), query.selection(), query.timeout(), query.revision(), query.bool("pretty"));
    let _ = (options::list(&query, true), options::list(&query, false));
}

pub(crate) fn continue_tokens() -> Vec<Vec<u8>> {
    let token = |at, after: &str| encode_continue(&Continue { at: Revision(at), after: after.into() }).into_bytes();
    vec![token(7, "/pods/d/a"), token(u64::MAX, ""), token(0, "/x.y.z//a:b")]
}

/// A token that reads is one of ours, or means the same as one.
pub(crate) fn continue_token(bytes: &[u8]) {
    if let Ok(next) = decode_continue(text(bytes)) {
        assert_eq!(decode_continue(&encode_continue(&next)).ok(), Some(next));
    }
}

pub(crate) fn header_values() -> Vec<Vec<u8>> {
    [
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json\0gzip;q=0.5, br",
        "application/vnd.kubernetes.protobuf;stream=watch, */*;q=0.1\0*",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1\0identity;q=0",
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}

/// `Accept` and `Accept-Encoding`.
pub(crate) fn headers(bytes: &[u8]) {
    let (accept, encoding) = halves(bytes);
    let (Ok(accept), Ok(encoding)) = (HeaderValue::from_bytes(accept), HeaderValue::from_bytes(encoding)) else {
        return;
    };
    let headers = HeaderMap::from_iter([(ACCEPT, accept.clone()), (ACCEPT_ENCODING, encoding), (CONTENT_TYPE, accept)]);
    let form = negotiate::form(&headers);
    assert_eq!(form.is_ok(), negotiate::watch_form(&headers).is_ok());
    let _ = (
        negotiate::encoding(&headers),
        negotiate::asked(&headers),
        compress::accepts(&headers),
        body::media_type(&headers),
    );
}
