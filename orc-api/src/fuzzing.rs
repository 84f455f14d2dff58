//! The decoders of this crate as functions of bytes: see [`orc_core::fuzzing`].

use std::sync::LazyLock;

use orc_core::fuzzing::{Target, halves, text};
use serde_json::{Value, json};

use crate::audit::Policy;
use crate::cel::{Activation, Budget, Environment, Program, Type, pattern::Pattern};
use crate::certificates::{Request, check_certificates};
use crate::custom::paths::JsonPath;
use crate::custom::structural::{self, Schema};
use crate::http::fuzzing as http;
use crate::identity::StaticTokens;

/// Every decoder of this crate.
pub const TARGETS: &[Target] = &[
    Target { name: "request_body", run: http::body, seeds: http::bodies },
    Target { name: "request_line", run: http::line, seeds: http::lines },
    Target { name: "continue_token", run: http::continue_token, seeds: http::continue_tokens },
    Target { name: "request_headers", run: http::headers, seeds: http::header_values },
    Target { name: "cel", run: cel, seeds: expressions },
    Target { name: "cel_pattern", run: cel_pattern, seeds: patterns },
    Target { name: "custom_schema", run: custom_schema, seeds: schemas },
    Target { name: "json_path", run: json_path, seeds: paths },
    Target { name: "certificate_request", run: certificate_request, seeds: requests },
    Target { name: "audit_policy", run: audit_policy, seeds: policies },
    Target { name: "static_tokens", run: static_tokens, seeds: tokens },
];

fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

fn expressions() -> Vec<Vec<u8>> {
    texts(&[
        "object.spec.replicas <= 5 && !has(object.x)",
        "object.list.all(x, x.matches('^a+$')) ? [1, 2].map(y, y * 2) : {'a': 1}['a']",
        "quantity('1Gi').isGreaterThan(quantity('1Mi')) || url('https://a:1/b?c=d').getHost() == 'a'",
        "duration('1h') + timestamp('2024-01-01T00:00:00Z') > timestamp('2023-01-01T00:00:00Z')",
        "'a,b'.split(',').join('-').format([1]) == b'x' || ip('::1').isLoopback() || cidr('10.0.0.0/8').containsIP('10.1.1.1')",
        "object.?a.orValue(1) in [1u, 0x1F, 1e5, -9223372036854775808]",
        "[[1, 2], [3]].flatten().exists_one(x, x > 1) && 'x'.charAt(0).lowerAscii().replace('x', 'yy').substring(1) != ''",
    ])
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| Environment::new().with("object", Type::Dyn));

/// What compiles is evaluated within a small budget.
fn cel(bytes: &[u8]) {
    let Ok(program) = Program::compile(text(bytes), &ENVIRONMENT) else { return };
    let object = json!({"spec": {"replicas": 3}, "list": ["a", "aa", "b"], "n": null, "f": 1.5, "u": u64::MAX});
    let activation = Activation::new().with_json("object", &object);
    let mut budget = Budget::new(100_000);
    let outcome = program.evaluate(&activation, &mut budget);
    let again = program.evaluate(&activation, &mut Budget::new(100_000));
    assert_eq!(outcome.is_ok(), again.is_ok(), "an expression says the same twice");
}

fn patterns() -> Vec<Vec<u8>> {
    texts(&[
        "^a+$\0aaab",
        "[a-z]([-a-z0-9]*[a-z0-9])?\0a-b",
        r"(?i)\d{1,3}(\.\d+)?|\pL\b\0A1",
        "(a*)*$\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    ])
}

fn cel_pattern(bytes: &[u8]) {
    let (source, subject) = halves(bytes);
    if let Ok(pattern) = Pattern::compile(text(source)) {
        let _ = pattern.matches(text(subject));
    }
}

fn schemas() -> Vec<Vec<u8>> {
    let schema = json!({"type": "object", "required": ["a"], "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "a": {"type": "string", "pattern": "^x", "default": "x", "maxLength": 3, "format": "date-time"},
        "b": {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "integer", "multipleOf": 0.5}}}},
        "c": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "d": {"type": "object", "additionalProperties": {"type": "number", "maximum": 5, "exclusiveMaximum": true}}}});
    let object = json!({"a": "xy", "b": [{"k": 1}, {"k": 2.5}], "c": "50%", "d": {"e": 4.9}, "z": [null]});
    vec![[schema.to_string().as_bytes(), &[0], object.to_string().as_bytes()].concat()]
}

/// Checking a schema and an object against it. Pruning and defaulting twice is the same as once.
fn custom_schema(bytes: &[u8]) {
    let (schema, object) = halves(bytes);
    let (Ok(schema), Ok(object)) = (serde_json::from_slice::<Value>(schema), serde_json::from_slice::<Value>(object))
    else {
        return;
    };
    let _ = structural::check::check(&schema, &orc_core::validation::FieldPath::new("schema"));
    let Ok(schema) = Schema::parse(&schema) else { return };
    let mut once = object;
    structural::prune::prune(&mut once, &schema, true);
    structural::default::default(&mut once, &schema);
    let _ = structural::validate::validate(&once, &schema, None);
    let _ = structural::validate::validate_lists(&once, &schema, None);
    let mut twice = once.clone();
    structural::prune::prune(&mut twice, &schema, true);
    assert_eq!(once, twice, "what is left is described");
}

fn paths() -> Vec<Vec<u8>> {
    texts(&[
        ".spec.replicas",
        r#"{.status.conditions[?(@.type=="Ready")].status}"#,
        r".metadata.labels.a\.b/c",
        "['a'][0][*]..b",
    ])
}

fn json_path(bytes: &[u8]) {
    if let Ok(path) = JsonPath::parse(text(bytes)) {
        let object =
            json!({"spec": {"replicas": 1}, "status": {"conditions": [{"type": "Ready", "status": "True"}, 5]}});
        let _ = path.find(&object);
    }
}

fn requests() -> Vec<Vec<u8>> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["a.example.com".to_owned(), "10.0.0.1".to_owned()];
    let request =
        rcgen::CertificateParams::new(names).and_then(|params| params.serialize_request(&key)).expect("a request");
    let pem = request.pem().expect("its text");
    vec![pem.clone().into_bytes(), format!("# a comment\n{pem}{pem}").into_bytes(), request.der().to_vec()]
}

/// The text form, and the binary one inside a text form, so that damage reaches the inner decoder.
fn certificate_request(bytes: &[u8]) {
    use base64::Engine as _;
    let _ = (Request::parse(bytes), check_certificates(bytes), crate::identity::from_certificate(bytes));
    let inner = base64::engine::general_purpose::STANDARD.encode(bytes);
    let wrapped = |kind: &str| format!("-----BEGIN {kind}-----\n{inner}\n-----END {kind}-----\n");
    let _ = Request::parse(wrapped("CERTIFICATE REQUEST").as_bytes());
    let _ = check_certificates(wrapped("CERTIFICATE").as_bytes());
}

fn policies() -> Vec<Vec<u8>> {
    texts(&[
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n  verbs: [get]\n  \
             resources:\n  - group: ''\n    resources: [secrets, pods/log]\n- level: None\n  nonResourceURLs: [/healthz*, '*']\n- \
             &a {level: RequestResponse}\n- *a\n",
    ])
}

fn audit_policy(bytes: &[u8]) {
    let _ = Policy::parse(text(bytes));
}

fn tokens() -> Vec<Vec<u8>> {
    texts(&["token,user,uid,\"a,b\"\nt2,u2,i2\n\n", "\"a\"\"b\",u,i\n"])
}

fn static_tokens(bytes: &[u8]) {
    let _ = StaticTokens::parse(text(bytes));
}
