//! The decoders of this crate.

use serde_json::{Value, json};

use super::{Sampler, Target, choice, halves, text};
use crate::apply::{Element, Manager, Managers, OneVersion, Place, Reach};
use crate::doc::Doc;
use crate::head::Head;
use crate::labels::{FieldSelector, Selector};
use crate::quantity::Quantity;
use crate::schema::{self, MessageRef, Schema, proto};
use crate::{ObjectKey, Revision, patch, validation};

/// Every decoder of this crate.
pub const TARGETS: &[Target] = &[
    Target { name: "json_doc", run: json_doc, seeds: objects },
    Target { name: "json_typed", run: json_typed, seeds: chosen_objects },
    Target { name: "head", run: head, seeds: objects },
    Target { name: "proto_message", run: proto_message, seeds: messages },
    Target { name: "proto_text", run: proto_text, seeds: chosen_objects },
    Target { name: "proto_envelope", run: proto_envelope, seeds: envelopes },
    Target { name: "json_patch", run: json_patch, seeds: json_patches },
    Target { name: "merge_patch", run: merge_patch, seeds: pairs },
    Target { name: "strategic_patch", run: strategic_patch, seeds: pairs },
    Target { name: "apply_patch", run: apply_patch, seeds: pairs },
    Target { name: "managed_fields", run: managed_fields, seeds: managed },
    Target { name: "label_selector", run: label_selector, seeds: selectors },
    Target { name: "field_selector", run: field_selector, seeds: field_selectors },
    Target { name: "quantity", run: quantity, seeds: quantities },
    Target { name: "names", run: names, seeds: quantities },
];

/// The kinds whose samples are good inputs; the index of one is the first byte of the inputs that choose.
const KINDS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Node"),
    ("v1", "Event"),
    ("apps/v1", "Deployment"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("coordination.k8s.io/v1", "Lease"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
];

fn kind(at: usize) -> (&'static str, &'static str, MessageRef) {
    let (version, kind) = KINDS[at % KINDS.len()];
    (version, kind, Schema::builtin().message_of_type(version, kind).expect("a kind of the table"))
}

/// An object of each kind, small enough for mutation to find its parts.
fn made() -> impl Iterator<Item = (u8, Value)> {
    (0..KINDS.len()).map(|at| {
        let (version, name, message) = kind(at);
        let mut object = super::sample(message, &mut Sampler::new(at as u64, 3));
        object["apiVersion"] = version.into();
        object["kind"] = name.into();
        object["metadata"]["name"] = "a".into();
        (at as u8, object)
    })
}

fn objects() -> Vec<Vec<u8>> {
    made().map(|(_, object)| object.to_string().into_bytes()).collect()
}

fn chosen_objects() -> Vec<Vec<u8>> {
    made().map(|(at, object)| [&[at], object.to_string().as_bytes()].concat()).collect()
}

fn messages() -> Vec<Vec<u8>> {
    let raw = |at, object: &Value| proto::from_json(object, kind(at).2).expect("a sample fits its message");
    made().map(|(at, object)| [&[at][..], &raw(usize::from(at), &object)].concat()).collect()
}

fn envelopes() -> Vec<Vec<u8>> {
    let seal = |bytes: &Vec<u8>| {
        let (version, name, _) = kind(choice(bytes).0);
        proto::seal(version, name, choice(bytes).1)
    };
    messages().iter().map(seal).collect()
}

/// What is taken in reads back from its canonical body as the same, and its head is found.
fn json_doc(bytes: &[u8]) {
    let Ok(decoded) = Doc::decode(bytes) else { return };
    let again = Doc::decode(&decoded.doc.to_body()).expect("a body of ours reads");
    assert!(again.duplicates.is_empty());
    assert_eq!(again.doc.to_body(), decoded.doc.to_body());
}

/// A typed object, strictly decoded and made canonical, decodes to itself and is written to protobuf and back.
fn json_typed(bytes: &[u8]) {
    let (at, body) = choice(bytes);
    let message = kind(at).2;
    let _ = schema::decode_json(body, None);
    let Ok(decoded) = schema::decode_json(body, Some(message)) else { return };
    let mut value = decoded.value;
    schema::canonical(&mut value, message);
    let again = schema::check(&value, Some(message)).expect("a canonical object decodes");
    assert!(again.strict.is_empty(), "{:?}", again.strict);
    assert_eq!(again.value, value);
}

fn head(bytes: &[u8]) {
    let _ = Head::parse(bytes, &["spec.nodeName", "status.phase"]);
    if let Ok(decoded) = Doc::decode(bytes) {
        let _ = Head::of(&decoded.doc, &["spec.nodeName", "metadata.name", "a.b.c"]);
    }
}

/// A message that reads is written again, and reads as the same. A tree and its text give the same message.
fn proto_message(bytes: &[u8]) {
    let (at, raw) = choice(bytes);
    let message = kind(at).2;
    let Ok(value) = proto::to_json(raw, message) else { return };
    // Raw JSON nests deeper than messages do, and doubles that are no numbers are null in JSON.
    let Ok(written) = proto::from_json(&value, message) else { return };
    let again = proto::to_json(&written, message).expect("a message of ours reads");
    assert_eq!(proto::from_json(&again, message).expect("it is written again"), written);
    let streamed = proto::from_text(value.to_string().as_bytes(), message).expect("its text is written");
    assert_eq!(proto::to_json(&streamed, message).expect("it reads"), again);
}

fn proto_text(bytes: &[u8]) {
    let (at, body) = choice(bytes);
    let message = kind(at).2;
    let streamed = proto::from_text(body, message);
    let tree = serde_json::from_slice::<Value>(body).ok().and_then(|value| proto::from_json(&value, message).ok());
    // Duplicate fields are merged differently, which the strict decoder in front of both does away with.
    if let (Ok(_), None) = (&streamed, &tree) {
        let doubled = Doc::decode(body).is_ok_and(|decoded| !decoded.duplicates.is_empty());
        assert!(doubled || serde_json::from_slice::<Value>(body).is_err(), "only the text is taken");
    }
}

fn proto_envelope(bytes: &[u8]) {
    let Ok(envelope) = proto::open(bytes) else { return };
    if let Some(message) = Schema::builtin().message_of_type(&envelope.api_version, &envelope.kind) {
        let _ = proto::to_json(envelope.raw, message);
    }
    let sealed = proto::seal(&envelope.api_version, &envelope.kind, envelope.raw);
    let again = proto::open(&sealed).expect("an envelope of ours opens");
    assert_eq!((again.api_version, again.kind, again.raw), (envelope.api_version, envelope.kind, envelope.raw));
}

fn two(bytes: &[u8]) -> Option<(Value, Value)> {
    let (one, two) = halves(bytes);
    Some((serde_json::from_slice(one).ok()?, serde_json::from_slice(two).ok()?))
}

fn pair(one: &Value, two: &Value) -> Vec<u8> {
    [one.to_string().as_bytes(), &[0], two.to_string().as_bytes()].concat()
}

/// Objects and patches of them: other objects, and the directives of strategic merge.
fn pairs() -> Vec<Vec<u8>> {
    let objects: Vec<Value> = made().map(|(_, object)| object).collect();
    let pod = json!({"metadata": {"name": "a", "finalizers": ["x", "y"]}, "spec": {"nodeName": "n",
        "containers": [{"name": "c", "ports": [{"containerPort": 1, "protocol": "TCP"}]}, {"name": "d"}]}});
    let patch = json!({"metadata": {"labels": {"b": null}, "$deleteFromPrimitiveList/finalizers": ["y"]}, "spec": {
        "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}], "$retainKeys": ["containers"],
        "containers": [{"name": "c", "image": "i"}, {"name": "d", "$patch": "delete"}, {"$patch": "merge", "name": "e"}]}});
    let mut pairs =
        vec![pair(&pod, &patch), pair(&json!({"a": {"b": 1}}), &json!({"a": {"$patch": "replace", "c": 2}}))];
    pairs.extend(objects.windows(2).map(|two| pair(&two[0], &two[1])));
    pairs
}

fn json_patches() -> Vec<Vec<u8>> {
    let patch = json!([{"op": "test", "path": "/x", "value": null}, {"op": "add", "path": "/a/-", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"}, {"op": "move", "from": "/b/0", "path": "/c~1d"},
        {"op": "replace", "path": "/a/0", "value": {}}, {"op": "remove", "path": "/m~0"}]);
    vec![pair(&json!({"a": [5], "m~": {}}), &patch)]
}

/// A patch that does not apply leaves the document as it was.
fn json_patch(bytes: &[u8]) {
    let Some((mut document, patch)) = two(bytes) else { return };
    let before = document.clone();
    if patch::apply_json(&mut document, &patch).is_err() {
        assert_eq!(document, before);
    }
}

/// A merge patch does the same twice, and the difference of two objects makes the one of the other.
fn merge_patch(bytes: &[u8]) {
    let Some((document, patch)) = two(bytes) else { return };
    let mut once = document.clone();
    if patch::apply_merge(&mut once, &patch).is_err() {
        return;
    }
    let mut twice = once.clone();
    patch::apply_merge(&mut twice, &patch).expect("it applied before");
    assert_eq!(once, twice);
    if document.is_object() {
        let mut made = document.clone();
        patch::apply_merge(&mut made, &patch::diff(&document, &once)).expect("a difference applies");
        assert_eq!(patch::diff(&made, &once), json!({}));
    }
}

fn strategic_patch(bytes: &[u8]) {
    let Some((document, patch)) = two(bytes) else { return };
    for at in [0, 6, 7] {
        let _ = patch::apply_strategic(&mut document.clone(), &patch, kind(at).2);
    }
}

/// Applying the same configuration again changes nothing; what is managed reads back.
fn apply_patch(bytes: &[u8]) {
    let Some((live, config)) = two(bytes) else { return };
    if !live.is_object() || !config.is_object() {
        return;
    }
    for at in 0..KINDS.len() {
        let (version, _, message) = kind(at);
        let decode = |value: &Value| schema::check(value, Some(message)).map(|decoded| decoded.value);
        let (Ok(live), Ok(config)) = (decode(&live), decode(&config)) else { continue };
        let place = Place::Message(message);
        if crate::apply::check(&config, place).is_err() {
            continue;
        }
        let ignored = &["apiVersion", "kind"];
        let reach = Reach { place, api_version: version, ignored, versions: &OneVersion };
        let (name, api_version, subresource) = ("m".into(), String::new(), String::new());
        let manager = Manager { name, applies: true, api_version, subresource };
        let mut managers = Managers::default();
        let apply = |managers: &mut Managers, live: &Value| {
            managers.apply(live, &config, &reach, &manager, true, "2024-01-01T00:00:00Z").expect("it is forced")
        };
        let once = apply(&mut managers, &live);
        let noted = managers.encode();
        let _ = apply(&mut managers, &once);
        assert_eq!(managers.encode(), noted, "the same configuration is the same manager's");
        assert_eq!(Managers::decode(Some(&noted)).encode(), noted);
    }
}

fn managed() -> Vec<Vec<u8>> {
    let entry = json!([{"manager": "m", "operation": "Apply", "apiVersion": "v1", "time": "2024-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}, "f:a": {}, "k:{\"name\":\"c\"}": {"f:b": {}},
        "v:\"x\"": {}, "i:0": {}}}}]);
    vec![entry.to_string().into_bytes()]
}

fn managed_fields(bytes: &[u8]) {
    let Ok(list) = serde_json::from_slice::<Value>(bytes) else { return };
    let encoded = Managers::decode(Some(&list)).encode();
    assert_eq!(Managers::decode(Some(&encoded)).encode(), encoded);
    for step in list.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Some(element) = Element::parse(step) {
            assert_eq!(Element::parse(&element.encode()), Some(element));
        }
    }
}

fn selectors() -> Vec<Vec<u8>> {
    ["a=b,c!=d", "a in (b,c),d notin (e),!f,g", "x/y==z", "a>1,b<2", "a in (,)", "a="]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

/// A selector that reads has a text that reads as the same selector.
fn label_selector(bytes: &[u8]) {
    if let Ok(selector) = Selector::parse(text(bytes)) {
        let shown = selector.to_string();
        assert_eq!(Selector::parse(&shown).map(|again| again.to_string()), Ok(shown));
    }
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        let _ = Selector::from_value(&value);
    }
}

fn field_selectors() -> Vec<Vec<u8>> {
    ["metadata.name=a,spec.nodeName!=", r"a=b\,c\=d\\e", "status.phase==Running"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

fn field_selector(bytes: &[u8]) {
    if let Ok(selector) = FieldSelector::parse(text(bytes)) {
        assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
    }
}

fn quantities() -> Vec<Vec<u8>> {
    [
        "1",
        "-1.5",
        "500m",
        "2Gi",
        "1e3",
        "1E-9",
        ".5n",
        "0.0001u",
        "9223372036854775807",
        "1Ei",
        "+1.",
        "a-b.example.com",
        "10.0.0.0/8",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// A quantity's text reads as an equal quantity, and as the same text.
fn quantity(bytes: &[u8]) {
    let Ok(read) = Quantity::parse(text(bytes)) else { return };
    let shown = read.to_string();
    let again = Quantity::parse(&shown).expect("a text of ours reads");
    assert_eq!((&again, again.to_string()), (&read, shown));
    let (_, _, _, sum) = (read.value(), read.milli_value(), read.rounded_to_milli(), read.add(again).sub(again));
    let _ = (sum.as_f64(), read.mul(i64::MIN), read.neg(), Quantity::shown(text(bytes)));
}

fn names(bytes: &[u8]) {
    let text = text(bytes);
    let _ = (validation::ip::parse_sloppy(text), validation::ip::parse_cidr_sloppy(text), Revision::parse(text));
    let key = ObjectKey::cluster(crate::ResourceId::new("", "pods"), text);
    assert_eq!(key.name.as_str(), text);
}
